package dev.edgestill.core.tasks

import dev.edgestill.core.InputError
import dev.edgestill.core.LOGITS
import dev.edgestill.core.Targets
import dev.edgestill.core.Tensor
import dev.edgestill.core.TensorSpec
import dev.edgestill.core.tuple
import java.util.Locale
import kotlin.math.exp

/** One label for one image, or for one recording: outputs are logits or probabilities (N, classes), targets class numbers (N,). */
class ImageClassification private constructor(labels: List<String>, scores: String) : Task(ImageClassification, labels, scores) {
    override fun check(outputs: List<TensorSpec>) = oneOutputSpec(outputs, labels, "values")

    /** Labels with probabilities, best first: the softmax of logits, and the model's own where it ends in one. Option: `top`. */
    override fun answer(outputs: List<Tensor>, options: Map<String, Any>): RankedLabels {
        val top = countOf(options["top"], "top")
        val output = oneOutput(outputs, "classes")
        if (output.columns < 2) throw InputError("one value for a sample is no score for each of several classes: ${tuple(output.shape)}")
        val shares = if (scores == LOGITS) softmax(output.values) else output.values
        return RankedLabels(ranked(shares).take(top ?: shares.size).map { Prediction(name(it), shares[it]) })
    }

    /** Accuracy: share of samples, 0–1, whose largest logit is the label's. NaN is never right. */
    override fun quality(outputs: List<Tensor>, targets: Targets): Map<String, Double> {
        val logits = oneOutput(outputs, "classes")
        if (targets.shape != logits.shape.take(1)) {
            throw InputError("logits must be (N, classes) with labels (N,), not ${tuple(logits.shape)} and ${tuple(targets.shape)}")
        }
        if (targets.values.isEmpty()) throw InputError("there is no sample: an accuracy of nothing is no number")
        val right = targets.values.indices.count { best(logits.sample(it).values)?.toDouble() == targets.values[it] }
        return mapOf("accuracy" to right.toDouble() / targets.values.size)
    }

    /** Where both choose the same class. */
    override fun same(first: List<Tensor>, second: List<Tensor>): BooleanArray {
        val (one, other) = listOf(first, second).map { oneOutput(it, "classes") }
        if (one.shape != other.shape) throw InputError("logits ${tuple(one.shape)} and ${tuple(other.shape)} cannot be compared")
        return BooleanArray(one.shape[0]) { number ->
            val chosen = best(one.sample(number).values)
            chosen != null && chosen == best(other.sample(number).values)
        }
    }

    companion object : TaskClass {
        override val name = "image-classification"
        override val measures = listOf(Measure("accuracy"))
        override val sameAnswer = "the same class"
        override val options = listOf("top")
        override val onScreen = mapOf("top" to 5) // there may be a thousand classes

        override fun create(labels: List<String>, settings: Map<String, Any?>, scores: String): Task {
            refuseUnknown(settings, listOf(), name)
            return ImageClassification(labels, scores)
        }
    }
}

/** Labels with probabilities, best first. */
data class RankedLabels(val predictions: List<Prediction>) : Answer {
    /** The best label. */
    override fun describe() = predictions.first().label

    override fun rows(locale: Locale) = bars(predictions, locale).mapIndexed { place, row -> row.copy(main = place == 0) }
}

/** Probabilities of logits, summing to 1: differences in float32, powers in float64, as the Python runtime does it. */
fun softmax(logits: FloatArray): FloatArray {
    val largest = logits.max()
    val powers = DoubleArray(logits.size) { exp((logits[it] - largest).toDouble()) }
    val sum = powers.sum()
    return FloatArray(logits.size) { (powers[it] / sum).toFloat() }
}

/** Number of the best class; of equal logits the first; null where one is NaN. */
private fun best(logits: FloatArray): Int? {
    if (logits.any { it.isNaN() }) return null
    return logits.indices.fold(0) { best, at -> if (logits[at] > logits[best]) at else best }
}
