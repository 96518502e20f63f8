"""No import circle: none that a late import or TYPE_CHECKING hides, none within a package."""

from __future__ import annotations

from graphlib import TopologicalSorter

import grimp


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = grimp.build_graph("streams", "infra", "models")
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert len(imports) > 200
    # Raises CycleError, which names the circle.
    order = list(TopologicalSorter(imports).static_order())
    assert order.index("models.events") < order.index("streams.ingest")
