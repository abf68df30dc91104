/** The default engine against the contract; what it computes is checked in tests/parity. */
import { createOnnxEngine } from "../../../shared/engine/onnx-engine.ts";
import { describeEngine } from "../../contracts/engine.ts";

describeEngine("onnx", () => createOnnxEngine({ threads: 2 }));
