"""What either engine cannot take, found before an exporter is started."""

from torch.fx import GraphModule


def refuse_unsupported(graph: GraphModule) -> None:
    """Refuse."""
