/**
 * The standard operators that a Tessera graph may use at opset 17: names only. Left out on purpose are those that need sub-graphs,
 * sequences or strings (`model.ts` has none) and those that draw random numbers (randomness enters a graph as data).
 */

const FAMILIES = {
  elementwise: `Abs Acos Acosh Add And Asin Asinh Atan Atanh BitShift Cast CastLike Ceil Celu Clip Cos Cosh Div Elu Equal Erf
    Exp Floor Greater GreaterOrEqual HardSigmoid HardSwish Identity IsInf IsNaN LeakyRelu Less LessOrEqual Log Max Mean Min
    Mod Mul Neg Not Or PRelu Pow Reciprocal Relu Round Selu Shrink Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Sub Sum Tan
    Tanh ThresholdedRelu Where Xor`,
  reduction: `ArgMax ArgMin CumSum ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd
    ReduceSum ReduceSumSquare TopK`,
  matrix: `Det Einsum Gemm MatMul MatMulInteger QLinearMatMul`,
  shape: `Compress Concat DepthToSpace Expand Flatten Pad Reshape Resize ReverseSequence Shape Size Slice SpaceToDepth Split
    Squeeze Tile Transpose Trilu Unsqueeze`,
  indexing: `Gather GatherElements GatherND NonMaxSuppression NonZero OneHot ScatterElements ScatterND Unique`,
  constant: `Constant ConstantOfShape EyeLike Range`,
  normalisation: `BatchNormalization Dropout Hardmax InstanceNormalization LRN LayerNormalization LogSoftmax LpNormalization
    MeanVarianceNormalization Softmax`,
  convolution: `AveragePool Conv ConvInteger ConvTranspose GlobalAveragePool GlobalLpPool GlobalMaxPool GridSample LpPool
    MaxPool MaxRoiPool MaxUnpool QLinearConv RoiAlign`,
  loss: `NegativeLogLikelihoodLoss SoftmaxCrossEntropyLoss`,
  quantization: `DequantizeLinear DynamicQuantizeLinear QuantizeLinear`,
  recurrent: `GRU LSTM RNN`,
  signal: `BlackmanWindow DFT HammingWindow HannWindow MelWeightMatrix STFT`,
} as const;

export const STANDARD_OPERATORS: ReadonlySet<string> = new Set(
  Object.values(FAMILIES).flatMap((names) => names.split(/\s+/)),
);
