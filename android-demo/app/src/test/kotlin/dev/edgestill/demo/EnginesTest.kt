package dev.edgestill.demo

import dev.edgestill.core.Bundle
import dev.edgestill.core.Classifier
import dev.edgestill.core.EngineError
import dev.edgestill.core.EngineFactories
import dev.edgestill.core.FolderStore
import dev.edgestill.core.Rule
import dev.edgestill.core.best
import dev.edgestill.core.readSamples
import dev.edgestill.core.survey
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

    private fun open(file: String, threads: Int = 1) = Classifier(bundle, file, factories.getValue(bundle.manifest.models.getValue(file).engine), threads)

    private fun expected(file: String): List<FloatArray> {
        val numbers = ByteBuffer.wrap(File(vectors, "$file.logits").readBytes()).order(ByteOrder.nativeOrder()).asFloatBuffer()
        val classes = bundle.manifest.labels.size
        return List(numbers.remaining() / classes) { FloatArray(classes).also { row -> numbers.get(row) } }
    }

    @Test
    fun `int8 files answer as in Python, to the last bit, on any number of threads`() {
        assertTrue(samples.images.size >= 100)
        for (file in listOf("model.pte", "model.tflite")) {
            for (threads in listOf(1, 2)) {
                open(file, threads).use { model ->
                    samples.images.zip(expected(file)).forEachIndexed { number, (image, logits) ->
                        assertEquals("$file, image $number", logits.toList(), model.logits(image).toList())
                    }
                }
            }
        }
    }

    @Test
    fun `both int8 files say the same`() {
        open("model.pte").use { one ->
            open("model.tflite").use { other ->
                for (image in samples.images) assertEquals(one.logits(image).toList(), other.logits(image).toList())
            }
        }
    }

    @Test
    fun `fp32 files answer as in Python, but for the last bits`() {
        for (file in listOf("model.fp32.pte", "model.fp32.tflite")) {
            open(file).use { model ->
                samples.images.zip(expected(file)).forEach { (image, logits) ->
                    val found = model.logits(image)
                    logits.indices.forEach { assertEquals(logits[it], found[it], 1e-4f) }
                    assertEquals(best(logits), best(found))
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
    fun `a survey measures every file as edgestill bench does`() {
        val said = ArrayList<String>()
        val rule = Rule(minCalls = 20, minSeconds = 0.02, turnSeconds = 0.005)
        val machine = mapOf("cpu" to "a desktop", "features" to listOf<String>(), "architecture" to "x86-64", "cores" to 2, "python" to "none", "packages" to mapOf<String, String>(), "governor" to null)
        val found = survey(bundle, factories, listOf(1, 2), rule, machine, samples, { 50_000_000 }) { doing, _ -> said.add(doing) }
        assertEquals(bundle.manifest.models.keys, found.answers.keys)
        assertEquals(listOf("latency, 1 thread", "latency, 2 threads", "accuracy"), said.distinct())
        // Python compares this with the schema: see proof/prove.py.
        File(vectors, "found.json").writeText(GsonBuilder().serializeNulls().create().toJson(found.measurement))
        File(vectors, "answers.npz").writeBytes(writeNpz(found.answers))
    }
}
