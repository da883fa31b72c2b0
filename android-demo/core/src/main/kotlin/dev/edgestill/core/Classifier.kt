package dev.edgestill.core

import java.io.Closeable
import java.nio.ByteBuffer
import java.nio.ByteOrder
import kotlin.math.exp

/** A class and its probability, 0–1. */
data class Prediction(val label: String, val probability: Float)

/**
 * One model file of a bundle in an engine: pixels → classes. Calls wait for each other; close it.
 *
 * @throws BundleIntegrityError the file is not what the manifest says; no engine has seen it.
 * @throws EngineError the engine refuses the file, or it is no classifier.
 */
class Classifier(private val bundle: Bundle, val file: String, factory: EngineFactory, threads: Int = 1) : Closeable {
    val entry: ModelFile = bundle.manifest.models[file] ?: throw EngineError("the bundle has no model file '$file'")
    private val input = entry.inputs.singleOrNull() ?: throw EngineError("$file takes ${entry.inputs.size} tensors, not one")
    private val output = entry.outputs.singleOrNull() ?: throw EngineError("$file gives ${entry.outputs.size} tensors, not one")
    private val convert = (bundle.manifest.processor ?: throw EngineError("$file takes no images and no recordings")).converter(input)
    private val engine = factory.open(bundle.read(file), entry, threads)

    /** Engine and version. */
    val engineName: String get() = engine.name

    /** What [run] takes, for the pixels of one image (uint8, height × width × channels). */
    fun tensor(pixels: ByteArray): ByteBuffer = convert(pixels)

    /** Run a tensor; what is timed. */
    @Synchronized
    fun run(tensor: ByteBuffer): ByteBuffer = engine.run(tensor)

    /** Logits of one image, in the order of the labels. */
    fun logits(pixels: ByteArray): FloatArray = real(run(tensor(pixels)))

    /** Classes of one image, best first. */
    fun classify(pixels: ByteArray, top: Int = 5): List<Prediction> =
        topK(logits(pixels), bundle.manifest.labels, top, bundle.manifest.scores)

    @Synchronized
    override fun close() = engine.close()

    /** Real numbers of an output: `(q - zero_point) * scale` of int8. */
    private fun real(bytes: ByteBuffer): FloatArray {
        val values = bytes.order(ByteOrder.nativeOrder())
        return when (output.dtype) {
            "float32" -> FloatArray(output.count) { values.getFloat(4 * it) }
            "int8" -> {
                val scale = output.scale ?: throw EngineError("$file: an int8 output without a scale; make the bundle again")
                FloatArray(output.count) { (values.get(it) - (output.zeroPoint ?: 0)).toFloat() * scale }
            }
            else -> throw EngineError("$file gives ${output.dtype}, which is no logits")
        }
    }
}

/** Probabilities of logits, summing to 1: differences in float32, powers in float64, as the Python runtime does it. */
fun softmax(logits: FloatArray): FloatArray {
    val largest = logits.max()
    val powers = DoubleArray(logits.size) { exp((logits[it] - largest).toDouble()) }
    val sum = powers.sum()
    return FloatArray(logits.size) { (powers[it] / sum).toFloat() }
}

/** Index of the best class; of equal logits the first. */
fun best(logits: FloatArray): Int = logits.indices.maxByOrNull { logits[it] } ?: throw InputError("no logits")

/**
 * The best classes with their probabilities; of equal logits the one that comes first in the labels.
 *
 * @param labels names of the classes; their numbers where the bundle has none.
 * @param scores of the manifest: of a model that ends in a softmax, what it gives are the probabilities.
 * @throws EngineError NaN or infinity among the logits, which is no class.
 */
fun topK(logits: FloatArray, labels: List<String>, top: Int, scores: String = LOGITS): List<Prediction> {
    val odd = logits.count { !it.isFinite() }
    if (odd > 0) throw EngineError("the model answered with $odd of ${logits.size} values that are not finite (NaN or infinity)")
    val shares = if (scores == PROBABILITIES) logits else softmax(logits)
    return logits.indices.sortedByDescending { logits[it] }.take(top).map { Prediction(labels.getOrElse(it) { at -> "$at" }, shares[it]) }
}
