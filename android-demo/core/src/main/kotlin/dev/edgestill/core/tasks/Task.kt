package dev.edgestill.core.tasks

import dev.edgestill.core.InputError
import dev.edgestill.core.LOGITS
import dev.edgestill.core.Targets
import dev.edgestill.core.Tensor
import dev.edgestill.core.TensorSpec

// What the outputs of a model mean: the arithmetic of `edgestill_runtime.tasks`, one file a task. `proof/vectors.py`
// compares each of them with Python.

/** Every task of this package by its name in manifests. */
val TASKS: Map<String, TaskClass> = listOf(ImageClassification, MultiLabelClassification, Regression, Tensors).associateBy { it.name }

/** What is known of a task before there is a bundle; its companion object. */
interface TaskClass {
    /** The word for it in a manifest. */
    val name: String

    /** The first of them decides: 1 is perfect, and higher is better. */
    val measures: List<Measure> get() = listOf()

    /** What `agreement` counts, for messages: `the same class`. */
    val sameAnswer: String get() = ""

    /** Names of the options of [Task.answer]. */
    val options: List<String> get() = listOf()

    /** Values of these options for a screen that shows the prediction. */
    val onScreen: Map<String, Any> get() = mapOf()

    /**
     * @param labels names of the entries of the outputs' last axis; empty if unknown.
     * @param settings of the task, as in the manifest (JSON of `readJson`); see the class of each task.
     * @param scores `logits`, or `probabilities` where the model itself ends in a softmax or sigmoid.
     * @throws InputError settings that are unknown, or not as they must be.
     */
    fun create(labels: List<String>, settings: Map<String, Any?>, scores: String): Task
}

/** What the outputs of one bundle's model mean. */
abstract class Task(val about: TaskClass, val labels: List<String>, val scores: String) {
    /**
     * Refuse outputs that this task can make nothing of.
     *
     * @throws IllegalArgumentException says what is needed.
     */
    abstract fun check(outputs: List<TensorSpec>)

    /**
     * @param outputs of one sample, `(1, …)` each.
     * @param options see [TaskClass.options].
     * @throws InputError outputs of another shape, or an option with a value that makes no sense.
     */
    abstract fun answer(outputs: List<Tensor>, options: Map<String, Any> = mapOf()): Answer

    /**
     * Name of each measure → its value.
     *
     * @param outputs of all samples, `(N, …)` each.
     * @param targets what is right.
     * @throws InputError no sample, or shapes that do not belong together.
     */
    abstract fun quality(outputs: List<Tensor>, targets: Targets): Map<String, Double>

    /**
     * Per sample, whether two models have the same prediction; false for outputs with NaN.
     *
     * @throws InputError shapes that differ.
     */
    abstract fun same(first: List<Tensor>, second: List<Tensor>): BooleanArray

    /**
     * Share of samples, 0–1, for which two models have the same prediction.
     *
     * @throws InputError no sample, or shapes that differ.
     */
    fun agreement(first: List<Tensor>, second: List<Tensor>): Double {
        val same = same(first, second)
        if (same.isEmpty()) throw InputError("there is no sample: an agreement of nothing is no number")
        return same.count { it }.toDouble() / same.size
    }

    /** The label of a column of the outputs; its number if there are no labels. */
    protected fun name(column: Int): String = labels.getOrElse(column) { "$it" }
}

/**
 * The task that a bundle is for.
 *
 * @param given class of a task that this package does not have.
 * @throws InputError the class is another task's, or a setting is unknown or invalid.
 */
fun taskOf(name: String, labels: List<String> = listOf(), settings: Map<String, Any?> = mapOf(), scores: String = LOGITS, given: TaskClass? = null): Task {
    if (given != null && given.name != name) throw InputError("the bundle's task is '$name', not '${given.name}'")
    val found = given ?: TASKS[name] ?: return UnknownTask(name)
    return found.create(labels, settings, scores)
}
