"""A real Apache Kafka for tests, from Maven's jars: KRaft nodes that can be killed and started again on their logs."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import logging
import shutil
import subprocess
import time
import uuid
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Literal, NamedTuple, Self

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from stream.kafka.broker import HOST, bound_to_this_process, speaks_kafka
from tests.kafka.ports import own_ports

POM = Path(__file__).with_name("pom.xml")
TARGET = POM.parent / "target"
READY_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 30.0
_JAVA_OPTIONS = ["-Xms64m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]


def missing_tools() -> str | None:
    """Why Kafka cannot run here, ``None`` where it can."""
    absent = [tool for tool in ("java", "mvn") if shutil.which(tool) is None]
    return f"no {' and no '.join(absent)} on PATH" if absent else None


def kafka_jars() -> Path:
    """The folder of Kafka's jars, fetched by Maven when the pom has changed since.

    Raises:
        RuntimeError: Maven failed; carries the end of what it said.
    """
    libs, stamp = TARGET / "libs", TARGET / "pom.sha256"
    digest = hashlib.sha256(POM.read_bytes()).hexdigest()
    TARGET.mkdir(exist_ok=True)
    with (TARGET / "lock").open("w") as one:
        fcntl.flock(one, fcntl.LOCK_EX)  # of all processes that share the tests one fetches, the others wait for it
        if not (stamp.is_file() and stamp.read_text() == digest and any(libs.glob("kafka_2.13-*.jar"))):
            shutil.rmtree(libs, ignore_errors=True)
            command = ["mvn", "-q", "-B", "-f", str(POM), "dependency:copy-dependencies"]
            done = subprocess.run(command, check=False, capture_output=True, text=True)
            if done.returncode != 0:
                raise RuntimeError(f"Maven could not fetch Kafka:\n{(done.stdout + done.stderr)[-2000:]}")
            stamp.write_text(digest)
    return libs


class Quorum(NamedTuple):
    """What the nodes of one cluster agree on: its id, and ``ID@HOST:PORT`` of each controller."""

    cluster_id: str
    voters: str
    nodes: int


class KafkaNode:
    """Broker and controller in one process, with its log in ``folder``. Topics are not created by first use."""

    def __init__(self, folder: Path, jars: Path, node_id: int = 1) -> None:
        self.node_id = node_id
        self.quorum: Quorum | None = None
        self.folder = folder
        self._classpath = f"{jars}/*"
        self._ports = own_ports(4)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        """``HOST:PORT``; the same after a restart."""
        return f"{HOST}:{self._ports[0]}"

    @property
    def detour(self) -> tuple[int, int]:
        """Another way in, for a proxy: the port that the node tells clients of that way, and where it listens."""
        return self._ports[2], self._ports[3]

    @property
    def data(self) -> Path:
        """The folder of its logs."""
        return self.folder / "log"

    @property
    def voter(self) -> str:
        """``ID@HOST:PORT`` of its controller."""
        return f"{self.node_id}@{HOST}:{self._ports[1]}"

    @property
    def pid(self) -> int | None:
        """Process id, ``None`` when it does not run."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def output(self) -> str:
        """What the node has printed since it first started, at most the last 4000 characters."""
        path = self.folder / "output.txt"
        return path.read_text(errors="replace")[-4000:] if path.exists() else ""

    async def __aenter__(self) -> Self:
        """Starts it."""
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stops it."""
        await self.stop()

    async def start(self) -> None:
        """Formats the log on the first start; returns when the node leads and takes requests."""
        assert self._ended(), "runs already"
        self._launch()
        deadline_s = time.monotonic() + READY_TIMEOUT_S
        try:
            while not await self._ready():
                if self._ended():
                    raise RuntimeError(f"Kafka ended while it started:\n{self.output}")
                if time.monotonic() > deadline_s:
                    raise RuntimeError(f"Kafka was not ready in {READY_TIMEOUT_S:g} s:\n{self.output}")
                await asyncio.sleep(0.1)
        except BaseException:
            self.kill()
            raise

    async def stop(self) -> None:
        """Ends it in good order; kills it if that takes too long."""
        if self._process is not None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(self._process.wait, STOP_TIMEOUT_S)
            self.kill()

    def kill(self) -> None:
        """SIGKILL, at once: as a lost machine. `start` brings it back on the same log and the same port."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    async def restart(self) -> None:
        """`kill`, then `start`."""
        self.kill()
        await self.start()

    def _ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def _launch(self) -> None:
        properties = self.folder / "server.properties"
        with (self.folder / "output.txt").open("ab") as output:
            java = ["java", *_JAVA_OPTIONS, "-cp", self._classpath]
            if not properties.exists():
                properties.write_text(self._properties())
                cluster_id = _new_cluster_id() if self.quorum is None else self.quorum.cluster_id
                alone = ["--standalone"] if self.quorum is None else []
                storage = ["kafka.tools.StorageTool", "format", *alone, f"--cluster-id={cluster_id}"]
                storage += ["-c", str(properties)]
                done = subprocess.run([*java, *storage], check=False, stdout=output, stderr=subprocess.STDOUT)
                if done.returncode != 0:
                    properties.unlink()
                    raise RuntimeError(f"Kafka's storage could not be formatted:\n{self.output}")
            self._process = subprocess.Popen(
                bound_to_this_process([*java, "kafka.Kafka", str(properties)]),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _properties(self) -> str:
        broker, controller, advertised, detour = self._ports
        replicas = 1 if self.quorum is None else self.quorum.nodes
        settings = {
            "process.roles": "broker,controller",
            "node.id": self.node_id,
            **(
                {"controller.quorum.bootstrap.servers": self.voter.partition("@")[2]}
                if self.quorum is None
                else {"controller.quorum.voters": self.quorum.voters}
            ),
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,DETOUR:PLAINTEXT",
            "listeners": f"PLAINTEXT://{HOST}:{broker},DETOUR://{HOST}:{detour},CONTROLLER://{HOST}:{controller}",
            "advertised.listeners": (
                f"PLAINTEXT://{HOST}:{broker},DETOUR://{HOST}:{advertised},CONTROLLER://{HOST}:{controller}"
            ),
            "inter.broker.listener.name": "PLAINTEXT",
            "log.dirs": self.data,
            "auto.create.topics.enable": "false",
            "broker.heartbeat.interval.ms": 300,  # a killed node may register again when its session is over
            "broker.session.timeout.ms": 1500,
            "group.initial.rebalance.delay.ms": 0,
            "group.min.session.timeout.ms": 1000,
            "message.max.bytes": 16 * 1024 * 1024,
            "offsets.topic.num.partitions": 4,
            "offsets.topic.replication.factor": replicas,
            "transaction.state.log.num.partitions": 4,
            "transaction.state.log.replication.factor": replicas,
            "transaction.state.log.min.isr": replicas // 2 + 1,
            "min.insync.replicas": replicas // 2 + 1,
        }
        return "".join(f"{name}={value}\n" for name, value in settings.items())

    async def _ready(self) -> bool:
        """It answers, and says that it is a member of its own cluster: before that, topics cannot be created."""
        if not await speaks_kafka(HOST, self._ports[0]):
            return False
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap, request_timeout_ms=5000)
        logger = logging.getLogger("aiokafka")
        level = logger.level
        logger.setLevel(logging.CRITICAL)
        try:
            await admin.start()
            nodes = 1 if self.quorum is None else self.quorum.nodes
            return len((await admin.describe_cluster())["brokers"]) >= nodes
        except (KafkaError, OSError):
            return False
        finally:
            logger.setLevel(level)
            await admin.close()


class KafkaCluster:
    """Three nodes: every topic that is made with replication 3 survives the loss of any one."""

    def __init__(self, folder: Path, jars: Path) -> None:
        self.nodes = [KafkaNode(folder / str(node_id), jars, node_id) for node_id in (1, 2, 3)]
        quorum = Quorum(_new_cluster_id(), ",".join(node.voter for node in self.nodes), len(self.nodes))
        for node in self.nodes:
            node.quorum = quorum

    @property
    def bootstrap(self) -> str:
        """All nodes, with commas between."""
        return ",".join(node.bootstrap for node in self.nodes)

    async def __aenter__(self) -> Self:
        """Starts all nodes; returns when they know each other."""
        for node in self.nodes:
            node.folder.mkdir(parents=True)
        try:
            await asyncio.gather(*(node.start() for node in self.nodes))
        except BaseException:
            self._kill()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Kills all nodes: their logs go with the test."""
        self._kill()

    async def leader(self, topic: str, partition: int) -> KafkaNode:
        """The node that leads a partition."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            (found,) = await admin.describe_topics([topic])
        finally:
            await admin.close()
        return self._node(next(each["leader"] for each in found["partitions"] if each["partition"] == partition))

    async def coordinator(self, name: str, kind: Literal["group", "transaction"]) -> KafkaNode:
        """The node that coordinates a consumer group, or the transactions of a producer of that transactional id."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            return self._node(await admin.find_coordinator(name, int(kind == "transaction")))
        finally:
            await admin.close()

    async def healed(self) -> None:
        """Waits until every replica of every partition is in sync: from then on any one node may be lost."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                while True:
                    topics = await admin.describe_topics(list(await admin.list_topics()))
                    partitions = [each for topic in topics for each in topic["partitions"]]
                    if all(len(each["isr"]) == len(each["replicas"]) for each in partitions):
                        return
                    await asyncio.sleep(0.2)
        finally:
            await admin.close()

    def _node(self, node_id: int) -> KafkaNode:
        return next(node for node in self.nodes if node.node_id == node_id)

    def _kill(self) -> None:
        for node in self.nodes:
            node.kill()


def _new_cluster_id() -> str:
    return urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
