package dev.edgestill.core.tasks

import dev.edgestill.core.InputError
import dev.edgestill.core.JsonNumber
import dev.edgestill.core.Tensor
import dev.edgestill.core.TensorSpec
import dev.edgestill.core.repr
import dev.edgestill.core.significant
import dev.edgestill.core.tuple

// What several tasks ask of outputs, options and settings, with the messages of `edgestill_runtime/tasks/base.py`.

private const val LARGEST = 1e30

/** The only output, (N, columns), or an [InputError]; [what] the columns hold, for the message. */
internal fun oneOutput(outputs: List<Tensor>, what: String): Tensor =
    outputs.singleOrNull()?.takeIf { it.shape.size == 2 }
        ?: throw InputError("one output (N, $what) is needed, not ${outputs.joinToString { tuple(it.shape) }.ifEmpty { "none" }}")

/** Refuse outputs of a file other than one whose last axis has a value for each label. */
internal fun oneOutputSpec(specs: List<TensorSpec>, labels: List<String>, what: String) {
    val fits = labels.isEmpty() || specs.singleOrNull()?.shape?.lastOrNull() == labels.size
    require(fits) { "${labels.size} labels need one output whose last axis has as many $what" }
}

/** An option that is a number of things, 1 or more, or null. */
internal fun countOf(value: Any?, name: String): Int? {
    if (value == null) return null
    return (value as? Int)?.takeIf { it >= 1 } ?: throw InputError("$name must be at least 1, not ${repr(value).take(40)}")
}

/** A number within limits. */
internal fun numberOf(value: Any?, name: String, least: Double, most: Double): Double {
    val number = (value as? JsonNumber)?.toDouble() ?: (value as? Number)?.toDouble()
    return number?.takeIf { it in least..most } ?: throw InputError(
        "$name must be a number from ${significant(least, 6)} to ${significant(most, 6)}, not ${repr(value).take(40)}",
    )
}

/** A setting that is a list of numbers, one for each value; one number stands for all of them. */
internal class Numbers(private val name: String, private val values: List<Double>) {
    val most: Double get() = values.maxOrNull() ?: 0.0

    /** One number per column. Needed without labels, when the number of columns is not known in advance. */
    fun of(columns: Int): DoubleArray {
        if (values.size != columns && values.size != 1) throw InputError(count(name, values.size, columns))
        return DoubleArray(columns) { values[if (values.size == 1) 0 else it] }
    }
}

/** @param count of values; 0 where there are no labels. */
internal fun numbersOf(settings: Map<String, Any?>, name: String, count: Int, default: Double, least: Double): Numbers {
    val value = settings[name]
    val values = value as? List<*> ?: listOf(value ?: default)
    if (values.size != count && values.size != 1 && count > 0) throw InputError(count(name, values.size, count))
    return Numbers(name, values.map { numberOf(it, name, least, LARGEST) })
}

private fun count(name: String, found: Int, needed: Int) = "$name has $found numbers for $needed values; give one for each, or one for all"

/** Whether Python treats the value as false: a setting that is present, but empty. */
internal fun saysNothing(value: Any?): Boolean =
    when (value) {
        null, false, "" -> true
        is JsonNumber -> value.toDouble() == 0.0
        is Collection<*> -> value.isEmpty()
        is Map<*, *> -> value.isEmpty()
        else -> false
    }

/** Refuse settings that a task has not. */
internal fun refuseUnknown(settings: Map<String, Any?>, known: List<String>, task: String) {
    val unknown = (settings.keys - known.toSet()).minOrNull() ?: return
    throw InputError("$task has no setting ${repr(unknown).take(60)}; it has ${known.joinToString().ifEmpty { "none" }}")
}
