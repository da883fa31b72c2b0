package dev.edgestill.demo

import android.content.Context
import android.content.res.AssetManager
import android.graphics.Bitmap
import android.os.Handler
import android.os.Looper
import dev.edgestill.core.Bundle
import dev.edgestill.core.EdgestillError
import dev.edgestill.core.EngineError
import dev.edgestill.core.EngineFactories
import dev.edgestill.core.ImageProcessor
import dev.edgestill.core.InputError
import dev.edgestill.core.Latency
import dev.edgestill.core.Manifest
import dev.edgestill.core.Model
import dev.edgestill.core.Processor
import dev.edgestill.core.Store
import dev.edgestill.core.Tensor
import dev.edgestill.core.measureCalls
import dev.edgestill.core.tasks.Answer
import dev.edgestill.engines.ExecuTorchEngine
import dev.edgestill.engines.LiteRtEngine
import java.io.File
import java.util.concurrent.Executors

/** The engines of this app, by their name in manifests. */
fun engines(context: Context): EngineFactories =
    mapOf("litert" to LiteRtEngine, "executorch" to ExecuTorchEngine.Factory(File(context.cacheDir, "executorch")))

/** Do the engines say the same of one picture? `difference`: the largest between their outputs. */
data class Agreement(val same: Boolean, val difference: Float)

/** All that the screen shows. Each change is a new one. `chosen`: which of the samples, null for a picture of one's own. */
data class Screen(
    val manifest: Manifest? = null,
    val samples: List<Bitmap> = listOf(),
    val chosen: Int? = null,
    val engine: String = "litert",
    val threads: Int = 1,
    val inverted: Boolean = false,
    val seen: Bitmap? = null,
    val answer: Answer? = null,
    val engineName: String = "",
    val agreement: Agreement? = null,
    val measuring: Double? = null,
    val latency: Latency? = null,
    val error: String? = null,
)

/**
 * The demo without its views: it outlives a rotation, does all work on one thread of its own, and tells the screen that
 * is there, on the main thread, of each change.
 */
class Session(private val store: Store, private val factories: EngineFactories, private val assets: AssetManager) {
    private val worker = Executors.newSingleThreadExecutor { Thread(it, "inference") }
    private val main = Handler(Looper.getMainLooper())
    private var bundle: Bundle? = null
    private val open = HashMap<String, Model>()
    private var pixels: ByteArray? = null
    @Volatile
    private var measured = 0

    /** Main thread only. */
    @Volatile
    var screen = Screen()
        private set
    var onChange: ((Screen) -> Unit)? = null
        set(value) {
            field = value
            value?.invoke(screen)
        }

    init {
        work {
            val samples = readSamples(assets, SAMPLES)
            tell { it.copy(samples = samples) }
            val opened = Bundle.open(store)
            opened.verify()
            bundle = opened
            tell { it.copy(manifest = opened.manifest) }
            if (samples.isNotEmpty() && pixels == null) show(0) { samplePixels(samples.first(), it) }
        }
    }

    /** Predict from the pixels that [read] makes with the bundle's processor, on the worker's thread. */
    fun show(read: (Processor) -> ByteArray) = show(null, read)

    /** Predict one of the samples. */
    fun show(sample: Int) {
        val bitmap = screen.samples[sample]
        show(sample) { samplePixels(bitmap, it) }
    }

    private fun show(chosen: Int?, read: (Processor) -> ByteArray) {
        tell { it.copy(chosen = chosen) }
        work {
            pixels = read(processor() ?: return@work)
            answer()
        }
    }

    fun choose(engine: String = screen.engine, threads: Int = screen.threads, inverted: Boolean = screen.inverted) {
        if (engine == screen.engine && threads == screen.threads && inverted == screen.inverted) return
        measured++
        val again = threads != screen.threads
        tellNow { it.copy(engine = engine, threads = threads, inverted = inverted, latency = null, measuring = null) }
        work {
            if (again) close()
            answer()
        }
    }

    /** Time [calls] calls of the engine that is chosen. */
    fun measure(calls: Int = 100) {
        if (screen.measuring != null) return
        val number = ++measured
        val (engine, threads) = screen.engine to screen.threads
        tellNow { it.copy(measuring = 0.0, latency = null) }
        work {
            val model = model(engine, threads)
            val tensor = model.tensor(seen() ?: return@work tell { it.copy(measuring = null) })
            val found = measureCalls(calls, { share -> tell { if (it.measuring == null) it else it.copy(measuring = share) } }, { number == measured }) {
                model.run(tensor)
            }
            tell { if (number == measured) it.copy(measuring = null, latency = found) else it }
        }
    }

    /** End a measurement that is under way. */
    fun stop() {
        measured++
        tellNow { it.copy(measuring = null) }
    }

    /** The app is gone for good. */
    fun end() {
        onChange = null
        measured++
        worker.execute { close() }
        worker.shutdown()
    }

    private fun answer() {
        val manifest = bundle?.manifest ?: return
        val processor = processor() ?: return
        val pixels = seen() ?: return
        val (engine, threads) = screen.engine to screen.threads
        val outputs = manifest.models.values.map { it.engine }.distinct().filter { it in factories }
            .associateWith { model(it, threads).outputs(pixels) }
        val chosen = outputs[engine] ?: throw EngineError("the bundle has no file for $engine")
        val model = model(engine, threads)
        val answer = model.answer(chosen, model.task.about.onScreen)
        val agreement = outputs.values.firstOrNull { it !== chosen }?.let { Agreement(model.task.same(it, chosen).single(), difference(it, chosen)) }
        val seen = bitmapOf(pixels, processor)
        tell { it.copy(seen = seen, answer = answer, engineName = model.engineName, agreement = agreement, error = null) }
    }

    private fun difference(first: List<Tensor>, second: List<Tensor>): Float =
        first.zip(second).maxOf { (one, other) -> one.values.indices.maxOf { Math.abs(one.values[it] - other.values[it]) } }

    /** Null where there is no bundle. */
    private fun processor(): Processor? {
        val manifest = bundle?.manifest ?: return null
        return manifest.processor ?: throw InputError("the bundle's model takes no pictures and no recordings")
    }

    /** The model's input; recordings have no negative. */
    private fun seen(): ByteArray? = pixels?.let { if (screen.inverted && processor() is ImageProcessor) inverted(it) else it }

    private fun model(engine: String, threads: Int): Model =
        open.getOrPut(engine) {
            val opened = bundle ?: throw EngineError("there is no bundle")
            val file = opened.manifest.models.entries.firstOrNull { it.value.engine == engine && it.value.precision != "fp32" }?.key
                ?: throw EngineError("the bundle has no int8 file for $engine")
            Model(opened, file, factories.getValue(engine), threads)
        }

    private fun close() {
        open.values.forEach { it.close() }
        open.clear()
    }

    private fun work(act: () -> Unit) =
        worker.execute {
            try {
                act()
            } catch (error: EdgestillError) {
                tell { it.copy(error = error.message, measuring = null, answer = null, agreement = null) }
            }
        }

    private fun tell(change: (Screen) -> Screen) {
        main.post { tellNow(change) }
    }

    private fun tellNow(change: (Screen) -> Screen) {
        screen = change(screen)
        onChange?.invoke(screen)
    }
}
