// The live link: server-sent events that come back by themselves, with their state told to the page.

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 5000;
const SILENCE_MS = 6000;

export class Link {
  // on: { state(name, waitMs), hello(data), delta(data), resync() }
  constructor(on) {
    this.on = on;
    this.wait = FIRST_WAIT_MS;
    this.source = null;
  }

  open() {
    const source = new EventSource("events");
    this.source = source;
    source.addEventListener("hello", (event) => {
      this.wait = FIRST_WAIT_MS;
      this.heard();
      this.on.state("live", 0);
      this.on.hello(JSON.parse(event.data));
    });
    source.addEventListener("delta", (event) => {
      this.heard();
      this.on.delta(JSON.parse(event.data));
    });
    source.addEventListener("resync", () => this.on.resync());
    source.onerror = () => this.again();
    this.heard();
  }

  // A link that is silent for long is dead, whatever the socket thinks: the server speaks every second.
  heard() {
    clearTimeout(this.watch);
    this.watch = setTimeout(() => this.again(), SILENCE_MS);
  }

  again() {
    clearTimeout(this.watch);
    clearTimeout(this.retry);
    this.source.close();
    this.on.state("reconnecting", this.wait);
    this.retry = setTimeout(() => this.open(), this.wait);
    this.wait = Math.min(this.wait * 2, LONGEST_WAIT_MS);
  }
}
