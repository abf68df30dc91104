/**
 * Layout: TensorFlow.js thinks in [B,H,W,C], ONNX convolutions in [B,C,H,W]. The recorder brackets every convolution with two
 * transposes; this pass carries them forward as views past everything that does not care, so that between two convolutions
 * they meet and cancel. Not past Pad and Slice: filter gradients and attention cut many pieces from one tensor, and each would be transposed by
 * itself.
 */
import { type Graph, type GraphBuilder, type Node, type Value } from "../graph.ts";
import { sizeOf } from "../../../records.ts";
import { BINARY, COMPARISON, UNARY } from "../operators/elementwise.ts";
import { concat, reshape, transpose } from "../operators/shape.ts";
import { reduce, type Reduction } from "../operators/reduce.ts";
import { rewrite } from "../rewrite.ts";

/** `value = Transpose(base, perm)`, not computed unless somebody insists. */
interface View {
  readonly base: Value;
  readonly perm: readonly number[];
}

const ELEMENTWISE: ReadonlySet<string> = new Set([
  ...UNARY,
  ...BINARY,
  ...COMPARISON,
  "Not",
  "Cast",
  "Max",
  "Min",
  "Where",
  "LeakyRelu",
  "Clip",
]);

const inverse = (perm: readonly number[]): number[] => perm.map((_, i) => perm.indexOf(i));
const isIdentity = (perm: readonly number[]): boolean => perm.every((axis, i) => axis === i);
const samePerm = (a: View | undefined, b: View | undefined): boolean =>
  a !== undefined && b !== undefined && a.perm.join() === b.perm.join();

export function sinkTransposes(graph: Graph): Graph {
  const views = new Map<Value, View>();
  const materialised = new Map<Value, Value>();

  /** A placeholder that stands for the view until it is materialised or absorbed. */
  const viewOf = (base: Value, perm: readonly number[]): Value => {
    if (isIdentity(perm)) return base;
    const value: Value = { type: base.type, shape: perm.map((axis) => base.shape[axis] ?? 0) };
    views.set(value, { base, perm });
    return value;
  };
  const materialise = (g: GraphBuilder, value: Value): Value => {
    const view = views.get(value);
    if (view === undefined) return value;
    const done = materialised.get(value) ?? transpose(g, view.base, view.perm);
    materialised.set(value, done);
    return done;
  };

  return rewrite(
    graph,
    (g, node, inputs) => {
      const [x] = inputs;
      const view = inputs
        .map((input) => (input === undefined ? undefined : views.get(input)))
        .find((v) => v !== undefined);
      if (node.op === "Transpose" && x !== undefined) {
        const perm = permOf(node);
        const own = views.get(x);
        return own === undefined
          ? viewOf(x, perm)
          : viewOf(
              own.base,
              perm.map((axis) => own.perm[axis] ?? 0),
            );
      }
      if (view === undefined) return undefined;
      const sunk = sink(g, node, inputs, view, views);
      if (sunk !== undefined) return viewOf(sunk.base, sunk.perm);
      const solid = inputs.map((input) => (input === undefined ? undefined : materialise(g, input)));
      const [output] = node.outputs;
      return output === undefined ? undefined : g.node(node.op, solid, output, node.attributes);
    },
    materialise,
  );
}

const permOf = (node: Node): readonly number[] => {
  const perm = node.attributes["perm"];
  return perm?.kind === "ints" ? perm.value : [];
};

/** `node` applied to the base of `view` instead: the new base and permutation, or undefined where the layout matters. */
function sink(
  g: GraphBuilder,
  node: Node,
  inputs: readonly (Value | undefined)[],
  view: View,
  views: ReadonlyMap<Value, View>,
): View | undefined {
  const [output] = node.outputs;
  const [x] = inputs;
  if (output === undefined || x === undefined) return undefined;
  if (ELEMENTWISE.has(node.op)) {
    if (output.shape.length !== view.perm.length) return undefined;
    const operands = inputs.map((input) => (input === undefined ? undefined : alignOperand(g, input, view, views)));
    const shape = inverse(view.perm).map((axis) => output.shape[axis] ?? 0);
    return { base: g.node(node.op, operands, { type: output.type, shape }, node.attributes), perm: view.perm };
  }
  const own = views.get(x);
  if (own === undefined) return undefined;
  if (node.op.startsWith("Reduce")) return sinkReduction(g, node, inputs, own);
  if (node.op === "Concat" && inputs.every((input) => samePerm(input && views.get(input), own))) {
    const axis = node.attributes["axis"];
    const bases = inputs.flatMap((input) => views.get(input as Value)?.base ?? []);
    return axis?.kind === "int" ? { base: concat(g, bases, own.perm[axis.value] ?? 0), perm: own.perm } : undefined;
  }
  return undefined;
}

/** An operand as the base's layout sees it. */
function alignOperand(g: GraphBuilder, operand: Value, view: View, views: ReadonlyMap<Value, View>): Value {
  const own = views.get(operand);
  if (own !== undefined && own.perm.join() === view.perm.join()) return own.base;
  if (sizeOf(operand.shape) === 1) return operand.shape.length === 0 ? operand : reshape(g, operand, []);
  const rank = view.perm.length;
  const padded = [...Array<number>(rank - operand.shape.length).fill(1), ...operand.shape];
  const toBase = inverse(view.perm);
  const solid = own === undefined ? operand : transpose(g, own.base, own.perm);
  // One axis longer than 1: moving it is a reshape. Otherwise the operand is transposed into the base's layout.
  if (padded.filter((dim) => dim !== 1).length === 1)
    return reshape(
      g,
      solid,
      toBase.map((axis) => padded[axis] ?? 1),
    );
  return transpose(g, reshape(g, solid, padded), toBase);
}

function constantList(value: Value | undefined): number[] | undefined {
  if (value?.constant === undefined) return undefined;
  const { constant } = value;
  return constant.kind === "dense" ? [...constant.data] : Array<number>(sizeOf(value.shape)).fill(constant.value);
}

function sinkReduction(
  g: GraphBuilder,
  node: Node,
  inputs: readonly (Value | undefined)[],
  view: View,
): View | undefined {
  const attribute = node.attributes["axes"];
  const axes =
    node.op === "ReduceSum" ? constantList(inputs[1]) : attribute?.kind === "ints" ? attribute.value : undefined;
  const keepDims = node.attributes["keepdims"];
  if (axes === undefined || keepDims?.kind !== "int") return undefined;
  const baseAxes = axes.map((axis) => view.perm[axis] ?? 0).sort((a, b) => a - b);
  const base = reduce(g, node.op as Reduction, view.base, baseAxes, keepDims.value === 1);
  if (keepDims.value === 1) return { base, perm: view.perm };
  const left = view.perm.filter((_, i) => !axes.includes(i));
  const order = left.toSorted((a, b) => a - b);
  return { base, perm: left.map((axis) => order.indexOf(axis)) };
}
