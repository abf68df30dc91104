/**
 * The only importer of TensorFlow.js. Everything else takes `tf` from here, so that inference, which never imports this file,
 * never loads it.
 */
import * as tf from "@tensorflow/tfjs";

// TensorFlow.js greets Node users with an advertisement for tfjs-node on its first kernel; the engine choice is ours to report.
tf.env().set("PROD", true);

export { tf };
