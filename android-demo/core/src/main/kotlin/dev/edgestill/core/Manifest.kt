package dev.edgestill.core

import dev.edgestill.core.tasks.Task
import dev.edgestill.core.tasks.TaskClass
import dev.edgestill.core.tasks.taskOf

/** Formats that are read; see `OlderManifests.kt`. */
val READ_VERSIONS = listOf(2L, 3L, 4L)

const val LOGITS = "logits"
const val PROBABILITIES = "probabilities"

/**
 * An input or output tensor of a model file.
 *
 * @property shape sizes, the batch axis included. layout: `NCHW` or `NHWC` for an image input, null for anything else.
 * @property scale `float = (quantized - zeroPoint) * scale`; null for tensors that are not quantized.
 * @property dynamic axes whose size may change from call to call. bounded: whether [shape] is the most that they may be.
 */
data class TensorSpec(
    val shape: List<Int>,
    val dtype: String,
    val layout: String? = null,
    val scale: Float? = null,
    val zeroPoint: Int? = null,
    val name: String = "",
    val dynamic: List<Int> = listOf(),
    val bounded: Boolean = false,
) {
    /** Numbers in one tensor. */
    val count: Int get() = shape.fold(1) { product, size -> Math.multiplyExact(product, size) }

    /** Whether a tensor may have this shape: that of the file, but for its dynamic axes. */
    fun accepts(given: List<Int>): Boolean =
        given.size == shape.size && given.indices.all { axis ->
            given[axis] == shape[axis] || (axis in dynamic && given[axis] > 0 && (!bounded || given[axis] <= shape[axis]))
        }
}

/**
 * One model file of a bundle.
 *
 * @property engine that runs it, such as `executorch` or `litert`; it may be one that this app has not. precision: `int8`, `mixed` or `fp32`.
 * @property quality on the test split, by the names of the task's measures, once it was measured.
 * @property floatMacs share of the multiply-accumulates that it computes in float, 0–1; null if not counted.
 */
data class ModelFile(
    val engine: String,
    val precision: String,
    val inputs: List<TensorSpec>,
    val outputs: List<TensorSpec>,
    val exporter: String,
    val quality: Map<String, Double> = mapOf(),
    val floatNodes: List<String> = listOf(),
    val floatMacs: Double? = null,
)

/** What a model file consists of, of the paths of all files: itself, or the files of the folder that it is. */
fun members(name: String, files: Collection<String>): List<String> = files.filter { it == name || it.startsWith("$name/") }.sorted()

/** What a file of the bundle must be: lower-case hex SHA-256, and size in bytes. */
data class FileEntry(val sha256: String, val bytes: Long)

/**
 * The content of `manifest.json`.
 *
 * @property task what it is for; see [taskOf]. taskSettings: of the task, as JSON.
 * @property labels names of what the outputs' last axis holds, such as classes; empty where there are none.
 * @property quality on the test split, by the names of the task's measures, of `teacher`, `student_alone`,
 *   `student_distilled`, as far as measured.
 * @property agreement share of test samples with the same prediction of both int8 files; null if not measured.
 * @property processor photo or recording → tensor; null if the model takes tensors.
 * @property scores what the one output of a classifier is: [LOGITS] or [PROBABILITIES].
 * @property training plain facts: teacher, student, objective, seed, data set and digest.
 */
data class Manifest(
    val name: String,
    val task: String,
    val labels: List<String>,
    val processor: Processor?,
    val models: Map<String, ModelFile>,
    val parameters: Long,
    val macs: Long,
    val training: Map<String, Any?>,
    val quality: Map<String, Map<String, Double>>,
    val agreement: Double?,
    val versions: Map<String, String>,
    val scores: String = LOGITS,
    val taskSettings: Map<String, Any?> = mapOf(),
) {
    /**
     * What the outputs mean.
     *
     * @param given class of a custom task.
     * @throws InputError the class is another task's.
     */
    fun task(given: TaskClass? = null): Task = taskOf(task, labels, taskSettings, scores, given)

    /** Share of the teacher's quality that [found] keeps, by the main measure; null if that is not meaningful. */
    fun retained(found: Map<String, Double>): Double? {
        val name = task().about.measures.firstOrNull()?.name ?: return null
        val teacher = quality["teacher"]?.get(name)?.takeIf { it > 0 } ?: return null
        return found[name]?.div(teacher)
    }
}
