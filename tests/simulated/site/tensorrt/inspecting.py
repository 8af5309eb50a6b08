"""What does the simulated TensorRT tell of an engine's layers? Every node is one, in TensorRT 10's words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tensorrt.kinds import TYPES, LayerInformationFormat
from tensorrt.running import ICudaEngine, IExecutionContext


class EngineInspector:
    """Tells a layer for every node, in TensorRT 10's words."""

    def __init__(self, engine: ICudaEngine) -> None:
        self._engine = engine
        self.execution_context: IExecutionContext | None = None

    def get_engine_information(self, layout: LayerInformationFormat) -> str:
        graph = self._engine.model.graph
        values = (*graph.value_info, *graph.input, *graph.output)
        types = {info.name: info.type.tensor_type.elem_type for info in values}

        def tensors(names: Sequence[str]) -> list[dict[str, Any]]:
            known = (name for name in names if name in types)
            return [{"Name": name, "Format/Datatype": f"Row-Major Linear {TYPES[types[name]][0]}"} for name in known]

        layers = [
            {
                "Name": node.name,
                "LayerType": "CaskConvolution" if node.op_type == "Conv" else node.op_type,
                "Inputs": tensors(node.input),
                "Outputs": tensors(node.output),
                "TacticName": f"simulated_{node.op_type.lower()}",
                "StreamId": 0,
                "Metadata": f"[ONNX Layer: {node.name}]",
            }
            for node in graph.node
        ]
        return json.dumps({"Layers": layers, "Bindings": [*self._engine.inputs, *self._engine.outputs]})
