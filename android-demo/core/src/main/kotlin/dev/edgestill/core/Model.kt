package dev.edgestill.core

import dev.edgestill.core.tasks.Answer
import dev.edgestill.core.tasks.Task
import dev.edgestill.core.tasks.TaskClass
import java.io.Closeable
import java.nio.ByteBuffer
import java.nio.ByteOrder

/**
 * One model file of a bundle in an engine: pixels → a prediction of the bundle's task. Calls wait for each other; close it.
 *
 * @param task the class of a task that is none of `core`'s.
 * @throws BundleIntegrityError the file differs from the manifest; no engine has read it.
 * @throws EngineError the engine refuses the file, or this app does not support its inputs or outputs.
 */
class Model(private val bundle: Bundle, val file: String, factory: EngineFactory, threads: Int = 1, task: TaskClass? = null) : Closeable {
    val entry: ModelFile = bundle.manifest.models[file] ?: throw EngineError("the bundle has no model file '$file'")

    /** What the outputs mean. */
    val task: Task = taskOf(task)
    private val input = entry.inputs.singleOrNull() ?: throw EngineError("$file takes ${entry.inputs.size} tensors, not one")
    private val output = entry.outputs.singleOrNull() ?: throw EngineError("$file gives ${entry.outputs.size} tensors, not one")
    private val convert = (bundle.manifest.processor ?: throw EngineError("$file takes no images and no recordings")).converter(input)
    private val engine = factory.open(content(), entry, threads)

    /** Engine and version. */
    val engineName: String get() = engine.name

    /** The input of [run] for the pixels of one image (uint8, height × width × channels). */
    fun tensor(pixels: ByteArray): ByteBuffer = convert(pixels)

    /** Run a tensor; what is timed. */
    @Synchronized
    fun run(tensor: ByteBuffer): ByteBuffer = engine.run(tensor)

    /** Real numbers of each output for one image, `(1, …)`. */
    fun outputs(pixels: ByteArray): List<Tensor> = listOf(Tensor(output.shape, real(run(tensor(pixels)))))

    /**
     * The prediction for one image.
     *
     * @param options of the task, such as `"top" to 3`; see [TaskClass.options].
     * @throws InputError the task has no such option, or the task is unknown.
     * @throws EngineError an output has NaN or infinity.
     */
    fun predict(pixels: ByteArray, vararg options: Pair<String, Any>): Answer = answer(outputs(pixels), mapOf(*options))

    /** As [predict], of [outputs]. */
    fun answer(outputs: List<Tensor>, options: Map<String, Any> = mapOf()): Answer {
        val unknown = (options.keys - task.about.options.toSet()).minOrNull()
        if (unknown != null) {
            throw InputError("$file: ${task.about.name} has no option '$unknown'; it has ${task.about.options.joinToString().ifEmpty { "none" }}")
        }
        for (one in outputs) {
            val odd = one.values.count { !it.isFinite() }
            if (odd > 0) throw EngineError("$file answered with $odd of ${one.values.size} values that are not finite (NaN or infinity), which is no answer")
        }
        try {
            return task.answer(outputs, options)
        } catch (error: InputError) {
            throw InputError("$file: ${error.message}")
        }
    }

    @Synchronized
    override fun close() = engine.close()

    private fun content(): ByteArray {
        if (file !in bundle.files) throw EngineError("$file is a folder of files, which no engine of this app takes")
        return bundle.read(file)
    }

    private fun taskOf(given: TaskClass?): Task {
        val task = bundle.manifest.task(given)
        try {
            task.check(entry.outputs)
        } catch (error: IllegalArgumentException) {
            throw InputError("${task.about.name} cannot be the task of ${bundle.manifest.name}: ${error.message}")
        }
        return task
    }

    /** Real numbers of an output: `(q - zero_point) * scale` of int8. */
    private fun real(bytes: ByteBuffer): FloatArray {
        val values = bytes.order(ByteOrder.nativeOrder())
        return when (output.dtype) {
            "float32" -> FloatArray(output.count) { values.getFloat(4 * it) }
            "int8" -> {
                val scale = output.scale ?: throw EngineError("$file: an int8 output without a scale; make the bundle again")
                FloatArray(output.count) { (values.get(it) - (output.zeroPoint ?: 0)).toFloat() * scale }
            }
            else -> throw EngineError("$file gives ${output.dtype}, which this app cannot read")
        }
    }
}
