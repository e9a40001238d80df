"""How JupyterLab runs, by ``make notebook`` and in the container. The token is Jupyter's own: docs/notebooks.md."""

c = get_config()  # noqa: F821 - Jupyter gives it

c.ServerApp.open_browser = False
# Kernels are reached through sockets in a folder of their user, not through ports that the whole machine sees.
c.KernelManager.transport = "ipc"
# What the lock pins stays as it is. News and updates, which it would fetch, are off in labconfig/page_config.json.
c.LabApp.extension_manager = "readonly"
