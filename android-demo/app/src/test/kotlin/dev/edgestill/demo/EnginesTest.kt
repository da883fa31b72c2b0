package dev.edgestill.demo

import dev.edgestill.core.Bundle
import dev.edgestill.core.EngineError
import dev.edgestill.core.EngineFactories
import dev.edgestill.core.FolderStore
import dev.edgestill.core.JsonNumber
import dev.edgestill.core.Model
import dev.edgestill.core.Rule
import dev.edgestill.core.Tensor
import dev.edgestill.core.readJson
import dev.edgestill.core.readSamples
import dev.edgestill.core.measureBundle
import dev.edgestill.core.writeNpz
import dev.edgestill.engines.ExecuTorchEngine
import dev.edgestill.engines.LiteRtEngine
import com.google.gson.GsonBuilder
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test

/** The app's own engines, their real libraries, on a desktop: what they answer is what Python's runtime answered. */
class EnginesTest {
    private val vectors = File(checkNotNull(System.getProperty("edgestill.vectors")) { "run make test-android" })
    private val bundle = Bundle.open(FolderStore(File(vectors, "bundle.edge")))
    private val samples = readSamples(File(vectors, "samples.npz").readBytes())
    private val scratch = File(vectors.parentFile, "executorch")
    private val factories: EngineFactories

    init {
        Engines.load()
        factories = mapOf("litert" to LiteRtEngine, "executorch" to ExecuTorchEngine.Factory(scratch))
    }

    private fun open(file: String, threads: Int = 1) = Model(bundle, file, factories.getValue(bundle.manifest.models.getValue(file).engine), threads)

    private fun Model.numbers(image: ByteArray) = outputs(image).single().values.toList()

    private fun expected(file: String): List<FloatArray> {
        val numbers = ByteBuffer.wrap(File(vectors, "$file.outputs").readBytes()).order(ByteOrder.nativeOrder()).asFloatBuffer()
        val classes = bundle.manifest.labels.size
        return List(numbers.remaining() / classes) { FloatArray(classes).also { row -> numbers.get(row) } }
    }

    @Test
    fun `int8 files answer as in Python, to the last bit, on any number of threads`() {
        assertTrue(samples.images.size >= 100)
        for (file in listOf("model.pte", "model.tflite")) {
            for (threads in listOf(1, 2)) {
                open(file, threads).use { model ->
                    samples.images.zip(expected(file)).forEachIndexed { number, (image, outputs) ->
                        assertEquals("$file, image $number", outputs.toList(), model.numbers(image))
                    }
                }
            }
        }
    }

    @Test
    fun `both int8 files say the same`() {
        open("model.pte").use { one ->
            open("model.tflite").use { other ->
                for (image in samples.images) assertEquals(one.numbers(image), other.numbers(image))
            }
        }
    }

    @Test
    fun `fp32 files answer as in Python, but for the last bits`() {
        for (file in listOf("model.fp32.pte", "model.fp32.tflite")) {
            open(file).use { model ->
                samples.images.zip(expected(file)).forEach { (image, outputs) ->
                    val found = model.outputs(image)
                    outputs.indices.forEach { assertEquals(outputs[it], found.single().values[it], 1e-4f) }
                    assertTrue(model.task.same(listOf(Tensor(found.single().shape, outputs)), found).single())
                }
            }
        }
    }

    @Test
    fun `nothing of a model is left behind`() {
        open("model.pte").use { assertEquals(1, scratch.list()?.size) }
        assertEquals(0, scratch.list()?.size)
    }

    @Test
    fun `a file for another engine, or none at all, is an error in words`() {
        val entry = bundle.manifest.models.getValue("model.tflite")
        for (content in listOf(byteArrayOf(), "TFL3".toByteArray(), bundle.read("model.pte"))) {
            assertThrows(EngineError::class.java) { LiteRtEngine.open(content, entry, 1) }
        }
    }

    @Test
    fun `a file that is not as its manifest says is refused`() {
        val entry = bundle.manifest.models.getValue("model.fp32.tflite")
        val error = assertThrows(EngineError::class.java) { LiteRtEngine.open(bundle.read("model.tflite"), entry, 1) }
        assertTrue(error.message!!, "the manifest says the input is float32" in error.message!!)
    }

    @Test
    fun `bundles of other tasks say what Python says, and are measured by their own measures`() {
        val said = readJson(File(vectors, "words-of-tasks.json").reader()) as Map<*, *>
        for ((name, expected) in said) {
            val other = Bundle.open(FolderStore(File(vectors, "manifests/$name.edge")))
            val samples = readSamples(File(vectors, "samples-$name.npz").readBytes())
            val (words, quality) = listOf("words", "quality").map { (expected as Map<*, *>)[it] }
            for (file in listOf("model.tflite", "model.pte")) {
                Model(other, file, factories.getValue(other.manifest.models.getValue(file).engine)).use { model ->
                    assertEquals("$name, $file", words, samples.images.map { model.predict(it).describe() })
                    val outputs = Tensor.of(samples.images.map { model.outputs(it).single() })
                    // numpy adds in pairs: sums differ in their last bits.
                    for ((measure, value) in model.task.quality(listOf(outputs), samples.targets)) {
                        assertEquals(((quality as Map<*, *>)[measure] as JsonNumber).toDouble(), value, 1e-12 * maxOf(1.0, Math.abs(value)))
                    }
                }
            }
        }
        assertEquals(setOf("regression", "multi-label"), said.keys)
    }

    @Test
    fun `the app measures every file as edgestill bench does`() {
        val said = ArrayList<String>()
        val rule = Rule(minCalls = 20, minSeconds = 0.02, turnSeconds = 0.005)
        val machine = mapOf("cpu" to "a desktop", "features" to listOf<String>(), "architecture" to "x86-64", "cores" to 2, "python" to "none", "packages" to mapOf<String, String>(), "governor" to null)
        val found = measureBundle(bundle, factories, listOf(1, 2), rule, machine, samples, { 50_000_000 }) { doing, _ -> said.add(doing) }
        assertEquals(bundle.manifest.models.keys, found.answers.keys)
        assertEquals(listOf("latency, 1 thread", "latency, 2 threads", "quality"), said.distinct())
        val quality = readJson(File(vectors, "quality.json").reader()) as Map<*, *>
        for (file in found.measurement["files"] as List<*>) {
            val (name, measured) = listOf("file", "quality").map { (file as Map<*, *>)[it] }
            val expected = (quality[name] as Map<*, *>)["accuracy"] as JsonNumber
            assertEquals("$name", mapOf("accuracy" to expected.toDouble()), measured)
        }
        // Python compares this with the schema: see proof/prove.py.
        File(vectors, "found.json").writeText(GsonBuilder().serializeNulls().create().toJson(found.measurement))
        File(vectors, "answers.npz").writeBytes(writeNpz(found.answers))
    }
}
