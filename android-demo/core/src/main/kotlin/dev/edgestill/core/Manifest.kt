package dev.edgestill.core

/** Formats that are read. Version 2 called the processor `preprocessing`, and had it for images alone. */
val READ_VERSIONS = listOf(2L, 3L)

const val LOGITS = "logits"
const val PROBABILITIES = "probabilities"

/**
 * What a file takes or gives.
 *
 * @property shape sizes, the batch axis included. layout: `NCHW` or `NHWC` for an image input, null for anything else.
 * @property scale `float = (quantised - zeroPoint) * scale`; null for tensors that are not quantised.
 */
data class TensorSpec(
    val shape: List<Int>,
    val dtype: String,
    val layout: String? = null,
    val scale: Float? = null,
    val zeroPoint: Int? = null,
    val name: String = "",
    val dynamic: List<Int> = listOf(),
) {
    /** Numbers in one tensor. */
    val count: Int get() = shape.fold(1) { product, size -> Math.multiplyExact(product, size) }
}

/** One model file of a bundle. `engine` is `executorch` or `litert`, `precision` is `int8`, `mixed` or `fp32`. */
data class ModelFile(
    val engine: String,
    val precision: String,
    val inputs: List<TensorSpec>,
    val outputs: List<TensorSpec>,
    val exporter: String,
    val accuracy: Double? = null,
    val keptFloat: List<String> = listOf(),
)

/** What a file of the bundle must be: lower-case hex SHA-256, and size in bytes. */
data class FileEntry(val sha256: String, val bytes: Long)

/**
 * What a bundle says of itself.
 *
 * @property accuracy on the test split, 0–1, of `teacher`, `student_alone`, `student_distilled`, as far as measured.
 * @property agreement share of test images on which the two int8 files choose the same class, once measured.
 * @property processor what people have → tensor; null where the model takes tensors.
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
    val accuracy: Map<String, Double>,
    val agreement: Double?,
    val versions: Map<String, String>,
    val scores: String = LOGITS,
) {
    /** Share of the teacher's accuracy that a file keeps, 0–1; null where one of the two was not measured. */
    fun retained(file: String): Double? {
        val teacher = accuracy["teacher"] ?: return null
        return models[file]?.accuracy?.div(teacher)
    }
}
