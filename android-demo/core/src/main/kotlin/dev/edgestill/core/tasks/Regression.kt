package dev.edgestill.core.tasks

import dev.edgestill.core.InputError
import dev.edgestill.core.Targets
import dev.edgestill.core.Tensor
import dev.edgestill.core.TensorSpec
import dev.edgestill.core.localized
import dev.edgestill.core.repr
import dev.edgestill.core.significant
import dev.edgestill.core.tuple
import java.util.Locale

private const val MILLIONTH = 1e-6

/**
 * One or several values for one image: outputs are numbers (N, values), which the task brings into units of the target;
 * targets are (N, values) in these units.
 *
 * Settings: `mean` and `std` of the targets, `value = mean + std · output`, 0 and 1 where nothing is said; `units`, a text
 * for each value; `tolerance`, in units of the target, how far two answers may be apart and still be the same, 0 where
 * nothing is said.
 */
class Regression private constructor(labels: List<String>, private val settings: Settings, scores: String) : Task(Regression, labels, scores) {
    private class Settings(val mean: Numbers, val std: Numbers, val tolerance: Numbers, val units: List<String>)

    override fun check(outputs: List<TensorSpec>) = oneOutputSpec(outputs, labels, "values")

    /** The values, in the order of the labels. */
    override fun answer(outputs: List<Tensor>, options: Map<String, Any>): Values =
        Values(values(outputs).row(0).mapIndexed { at, value -> Value(name(at), value, settings.units.getOrElse(at) { "" }) })

    /**
     * R², the mean over values of `1 - Σ (x - y)² / Σ (y - mean(y))²`, and MAE, the mean of |x - y|.
     *
     * A value that never varies in the targets has no R² and is left out of its mean. NaN counts as an infinite error.
     */
    override fun quality(outputs: List<Tensor>, targets: Targets): Map<String, Double> {
        val found = values(outputs)
        val shape = if (targets.shape.size == 1) targets.shape + 1 else targets.shape
        if (listOf(found.rows, found.columns) != shape || found.rows == 0) {
            throw InputError("outputs (N, values) need targets of that shape, not ${tuple(listOf(found.rows, found.columns))} and ${tuple(shape)}")
        }
        val wanted = Table(found.rows, found.columns, targets.values)
        val errors = DoubleArray(found.numbers.size) { (found.numbers[it] - wanted.numbers[it]).let { error -> if (error.isNaN()) Double.POSITIVE_INFINITY else error } }
        val shares = (0 until found.columns).mapNotNull { share(Table(found.rows, found.columns, errors).column(it), wanted.column(it)) }
        if (shares.isEmpty()) throw InputError("the targets never vary: there is no R² of them")
        return mapOf("R²" to shares.average(), "MAE" to errors.map { Math.abs(it) }.average())
    }

    /** Where all values lie within the tolerance. */
    override fun same(first: List<Tensor>, second: List<Tensor>): BooleanArray {
        val (one, other) = listOf(first, second).map { values(it) }
        if (one.rows != other.rows || one.columns != other.columns) {
            val (here, there) = listOf(one, other).map { tuple(listOf(it.rows, it.columns)) }
            throw InputError("outputs $here and $there cannot be compared")
        }
        // A millionth more: values that are exactly the tolerance apart are within it, whatever their last bit.
        val most = settings.tolerance.of(one.columns).map { it * (1 + MILLIONTH) }
        return BooleanArray(one.rows) { number ->
            val (here, there) = one.row(number) to other.row(number)
            here.indices.all { Math.abs(here[it] - there[it]) <= most[it] }
        }
    }

    /** In units of the target. */
    private fun values(outputs: List<Tensor>): Table {
        val output = oneOutput(outputs, "values")
        val columns = output.columns
        if (labels.isNotEmpty() && columns != labels.size) throw InputError("outputs ${tuple(output.shape)} are no values of ${labels.joinToString()}")
        val (mean, std) = settings.mean.of(columns) to settings.std.of(columns)
        return Table(output.shape[0], columns, DoubleArray(output.values.size) { mean[it % columns] + std[it % columns] * output.values[it].toDouble() })
    }

    private class Table(val rows: Int, val columns: Int, val numbers: DoubleArray) {
        fun row(number: Int) = numbers.copyOfRange(number * columns, (number + 1) * columns)

        fun column(number: Int) = DoubleArray(rows) { numbers[it * columns + number] }
    }

    companion object : TaskClass {
        override val name = "regression"
        override val measures = listOf(Measure("R²", ""), Measure("MAE", "", higherIsBetter = false))
        override val sameAnswer = "values within the tolerance"

        override fun create(labels: List<String>, settings: Map<String, Any?>, scores: String): Task {
            refuseUnknown(settings, listOf("mean", "std", "units", "tolerance"), name)
            val count = labels.size
            val mean = numbersOf(settings, "mean", count, 0.0, -1e30)
            val std = numbersOf(settings, "std", count, 1.0, 1e-30)
            val tolerance = numbersOf(settings, "tolerance", count, 0.0, 0.0)
            return Regression(labels, Settings(mean, std, tolerance, unitsOf(settings["units"], count)), scores)
        }

        private fun unitsOf(value: Any?, count: Int): List<String> {
            val said = if (saysNothing(value)) List(count) { "" } else value
            val units = (said as? List<*>)?.filterIsInstance<String>()
            if (units == null || units.size != count || units.size != said.size) throw InputError("units is a text for each of $count values, not ${repr(said).take(60)}")
            return units
        }

        /** `1 - Σ error² / Σ (y - mean(y))²`; null where the targets never vary. */
        private fun share(errors: DoubleArray, wanted: DoubleArray): Double? {
            if (wanted.all { it == wanted.first() }) return null // exactly, despite rounding of the mean
            val mean = wanted.average()
            val spread = wanted.sumOf { (it - mean) * (it - mean) }
            return if (spread > 0) 1 - errors.sumOf { it * it } / spread else null
        }
    }
}

/** A value in units of its target; `name` and `unit` may be empty. */
data class Value(val name: String, val value: Double, val unit: String)

/** The values of one sample. */
data class Values(val values: List<Value>) : Answer {
    /** `width 12.3 mm, height 4.56 mm`. */
    override fun describe() = values.joinToString { "${it.name} ${significant(it.value, 4)} ${it.unit}".trim() }

    override fun rows(locale: Locale) = values.map { Row(it.name, "${localized(significant(it.value, 4), locale)} ${it.unit}".trim()) }
}
