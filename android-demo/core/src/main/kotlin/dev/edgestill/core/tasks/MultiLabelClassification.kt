package dev.edgestill.core.tasks

import dev.edgestill.core.InputError
import dev.edgestill.core.LOGITS
import dev.edgestill.core.Targets
import dev.edgestill.core.Tensor
import dev.edgestill.core.TensorSpec
import dev.edgestill.core.significant
import dev.edgestill.core.tuple
import java.util.Locale
import kotlin.math.exp

/**
 * Any number of labels for one image: outputs are a score for each class, each on its own (sigmoid), (N, classes); targets
 * are 0 or 1 for each class, (N, classes).
 *
 * Settings: `thresholds`, the probability, 0–1, from which on a label counts as given: one for each class, or one for all;
 * 0.5 where nothing is said.
 */
class MultiLabelClassification private constructor(labels: List<String>, private val thresholds: Numbers, scores: String) :
    Task(MultiLabelClassification, labels, scores) {
    override fun check(outputs: List<TensorSpec>) = oneOutputSpec(outputs, labels, "values")

    /**
     * Labels whose probability reaches their threshold, best first; none at all where no label does. Options: `top`, at most
     * so many; `threshold`, for all classes, 0–1, in place of the bundle's; 0 gives every label.
     */
    override fun answer(outputs: List<Tensor>, options: Map<String, Any>): GivenLabels {
        val top = countOf(options["top"], "top")
        val threshold = options["threshold"]?.let { numberOf(it, "threshold", 0.0, 1.0) }
        val shares = probabilities(outputs)
        val own = thresholds.of(shares.columns)
        val least = threshold?.let { one -> DoubleArray(own.size) { one } } ?: own
        val given = ranked(shares.values).filter { shares.values[it] >= least[it] }
        return GivenLabels(given.take(top ?: given.size).map { Prediction(name(it), shares.values[it]) })
    }

    /** mAP and macro F1: means over the classes with positive samples. NaN ranks last and predicts no label. */
    override fun quality(outputs: List<Tensor>, targets: Targets): Map<String, Double> {
        val shares = probabilities(outputs)
        if (shares.shape != targets.shape || targets.shape.first() == 0) {
            throw InputError("outputs (N, classes) need targets of that shape, not ${tuple(shares.shape)} and ${tuple(targets.shape)}")
        }
        val (count, classes) = shares.shape
        val least = thresholds.of(classes)
        val precisions = ArrayList<Double>()
        val f1 = ArrayList<Double>()
        for (column in 0 until classes) {
            val scores = FloatArray(count) { shares.values[it * classes + column] }
            val wanted = BooleanArray(count) { targets.values[it * classes + column] > 0.5 }
            if (wanted.none { it }) continue
            precisions += averagePrecision(scores, wanted)
            f1 += f1(BooleanArray(count) { scores[it] >= least[column] }, wanted)
        }
        if (precisions.isEmpty()) throw InputError("no sample has any label: there is nothing to measure")
        return mapOf("mAP" to precisions.average(), "macro F1" to f1.average())
    }

    /** Whether both predict exactly the same labels. */
    override fun same(first: List<Tensor>, second: List<Tensor>): BooleanArray {
        val (one, other) = listOf(first, second).map { probabilities(it) }
        if (one.shape != other.shape) throw InputError("outputs ${tuple(one.shape)} and ${tuple(other.shape)} cannot be compared")
        val least = thresholds.of(one.columns)
        return BooleanArray(one.shape[0]) { number ->
            val (here, there) = one.sample(number).values to other.sample(number).values
            here.indices.all { !here[it].isNaN() && !there[it].isNaN() && (here[it] >= least[it]) == (there[it] >= least[it]) }
        }
    }

    private fun probabilities(outputs: List<Tensor>): Tensor {
        val output = oneOutput(outputs, "classes")
        return if (scores == LOGITS) Tensor(output.shape, sigmoid(output.values)) else output
    }

    companion object : TaskClass {
        override val name = "multi-label-classification"
        override val measures = listOf(Measure("mAP"), Measure("macro F1"))
        override val sameAnswer = "the same labels"
        override val options = listOf("top", "threshold")

        override fun create(labels: List<String>, settings: Map<String, Any?>, scores: String): Task {
            refuseUnknown(settings, listOf("thresholds"), name)
            val thresholds = numbersOf(settings, "thresholds", labels.size, 0.5, 0.0)
            if (thresholds.most > 1) throw InputError("thresholds are probabilities from 0 to 1, not ${significant(thresholds.most, 6)}")
            return MultiLabelClassification(labels, thresholds, scores)
        }
    }
}

/** Labels that reach their threshold, best first. */
data class GivenLabels(val predictions: List<Prediction>) : Answer {
    /** The labels, or `none`. */
    override fun describe() = predictions.joinToString { it.label }.ifEmpty { "none" }

    override fun rows(locale: Locale) = bars(predictions, locale)
}

/** Probabilities of logits, `1 / (1 + exp(-x))`, in float64 as the Python runtime does it. */
fun sigmoid(logits: FloatArray) = FloatArray(logits.size) { (1 / (1 + exp(-logits[it].toDouble()))).toFloat() }

/**
 * The area under the precision–recall curve of one class, as a sum of steps: `Σ (R_n - R_{n-1}) · P_n` over the thresholds
 * of falling score, samples of one score together. NaN ranks last. At least one sample must be positive.
 */
fun averagePrecision(scores: FloatArray, wanted: BooleanArray): Double {
    val values = FloatArray(scores.size) { if (scores[it].isNaN()) Float.NEGATIVE_INFINITY else scores[it] }
    val order = ranked(values)
    val all = wanted.count { it }
    var right = 0
    var recall = 0.0
    var area = 0.0
    order.forEachIndexed { place, sample ->
        if (wanted[sample]) right++
        val last = place + 1 == order.size || values[order[place + 1]] != values[sample] // of the samples that share a score
        if (last) {
            area += (right.toDouble() / all - recall) * (right.toDouble() / (place + 1))
            recall = right.toDouble() / all
        }
    }
    return area
}

/** 2 · TP / (predicted + positive). */
private fun f1(given: BooleanArray, wanted: BooleanArray): Double {
    val right = given.indices.count { given[it] && wanted[it] }
    return 2.0 * right / maxOf(given.count { it } + wanted.count { it }, 1)
}
