package dev.edgestill.demo

import android.app.Activity
import android.content.Context
import android.content.Intent
import android.os.Build
import android.os.Bundle as State
import android.os.Handler
import android.os.Looper
import android.view.WindowManager
import android.widget.TextView
import com.google.gson.GsonBuilder
import dev.edgestill.core.Bundle
import dev.edgestill.core.EdgestillError
import dev.edgestill.core.EngineFactories
import dev.edgestill.core.FolderStore
import dev.edgestill.core.InputError
import dev.edgestill.core.Rule
import dev.edgestill.core.Store
import dev.edgestill.core.readSamples
import dev.edgestill.core.survey
import dev.edgestill.core.writeNpz
import java.io.File
import java.io.IOException
import kotlin.concurrent.thread

/**
 * What `edgestill bench --device adb:SERIAL` starts:
 *
 *     am start -n dev.edgestill.demo/.BenchmarkActivity --es folder NAME [--es threads 1,4] [--es min_calls 1000] …
 *
 * It measures the bundle in `NAME/bundle.edge` of the app's external files (that of the assets if there is none), on the
 * samples in `NAME/samples.npz` (if there are any), and writes `progress.txt`, `answers.npz` and at the end
 * `found.json`, in the form of `measurement.schema.json`, or `error.txt`.
 */
class BenchmarkActivity : Activity() {
    override fun onCreate(state: State?) {
        super.onCreate(state)
        setContentView(R.layout.benchmark)
        window.addFlags(WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON)
        val doing = findViewById<TextView>(R.id.doing)
        val main = Handler(Looper.getMainLooper())
        val name = intent.getStringExtra("folder") ?: "benchmark"
        val files = getExternalFilesDir(null)
        if (files == null || !Regex("[A-Za-z0-9_-]{1,80}").matches(name)) return finish()
        val asked = Asked(File(files, name).apply { mkdirs() }, AssetStore(assets, BUNDLE), engines(this), intent, machine(this))
        if (state != null) return // It was put aside and comes back; the thread goes on, or ended with its process.
        thread(name = "benchmark", priority = Thread.MAX_PRIORITY) {
            benchmark(asked) { text -> main.post { doing.text = text } }
            main.post { finish() }
        }
    }
}

private class Asked(val folder: File, val own: Store, val factories: EngineFactories, intent: Intent, val machine: Map<String, Any?>) {
    val threads = (intent.getStringExtra("threads") ?: "1").split(',').map { word -> if (word == "all") cores() else word.toIntOrNull() ?: 0 }
    val rule = Rule().let { usual ->
        Rule(
            name = intent.getStringExtra("rule") ?: usual.name,
            headline = intent.getStringExtra("headline") ?: usual.headline,
            minCalls = intent.getStringExtra("min_calls")?.toIntOrNull() ?: usual.minCalls,
            minSeconds = intent.getStringExtra("min_seconds")?.toDoubleOrNull() ?: usual.minSeconds,
            turnSeconds = intent.getStringExtra("turn_seconds")?.toDoubleOrNull() ?: usual.turnSeconds,
        )
    }
}

private fun benchmark(asked: Asked, say: (String) -> Unit) {
    val folder = asked.folder
    try {
        if (asked.threads.any { it < 1 }) throw InputError("threads are numbers from 1, or all")
        val sent = File(folder, "bundle.edge")
        val bundle = Bundle.open(if (sent.isDirectory) FolderStore(sent) else asked.own)
        val samples = File(folder, "samples.npz").takeIf { it.isFile }?.let { readSamples(it.readBytes()) }
        val found = survey(bundle, asked.factories, asked.threads, asked.rule, asked.machine, samples, ::residentBytes) { doing, share ->
            write(folder, "progress.txt", "%.3f %s\n".format(java.util.Locale.ROOT, share, doing).toByteArray())
            say("$doing ${(100 * share).toInt()} %")
        }
        if (samples != null) write(folder, "answers.npz", writeNpz(found.answers))
        write(folder, "found.json", GsonBuilder().serializeNulls().create().toJson(found.measurement).toByteArray())
    } catch (error: EdgestillError) {
        write(folder, "error.txt", (error.message ?: "").toByteArray())
    } catch (error: IOException) {
        write(folder, "error.txt", (error.message ?: "").toByteArray())
    }
}

/** Whoever waits for a file sees it whole. */
private fun write(folder: File, name: String, content: ByteArray) {
    val part = File(folder, ".$name")
    part.writeBytes(content)
    part.renameTo(File(folder, name))
}

private fun cores() = Runtime.getRuntime().availableProcessors()

private fun residentBytes(): Long? = fields("/proc/self/status")["VmRSS"]?.substringBefore(' ')?.toLongOrNull()?.times(1024)

private fun fields(path: String): Map<String, String> =
    try {
        File(path).readLines().mapNotNull { line -> line.split(':', limit = 2).takeIf { it.size == 2 }?.let { (key, value) -> key.trim() to value.trim() } }.toMap()
    } catch (error: IOException) {
        mapOf()
    }

// What int8 kernels can use → its name in /proc/cpuinfo, as in `edgestill_benchmarks.machine`.
private val FEATURES = mapOf("dotprod" to "asimddp", "i8mm" to "i8mm", "fp16" to "asimdhp", "bf16" to "bf16", "sve" to "sve", "avx2" to "avx2", "avx512" to "avx512f")

/** As `describe_machine` in Python; what Android does not tell is null. */
private fun machine(context: Context): Map<String, Any?> {
    val cpu = fields("/proc/cpuinfo")
    val flags = (cpu["Features"] ?: cpu["flags"] ?: "").split(' ')
    val memory = android.app.ActivityManager.MemoryInfo().also { context.getSystemService(android.app.ActivityManager::class.java).getMemoryInfo(it) }
    return mapOf(
        "cpu" to "${Build.MANUFACTURER} ${Build.MODEL} (${Build.HARDWARE})",
        "features" to FEATURES.filterValues { it in flags }.keys.toList(),
        "architecture" to Build.SUPPORTED_ABIS.first(),
        "cores" to cores(),
        "governor" to null,
        "memory_bytes" to memory.totalMem,
        "os" to "Android ${Build.VERSION.RELEASE}",
        "kernel" to System.getProperty("os.version"),
        "python" to "none",
        "cuda" to null,
        "packages" to mapOf<String, String>(),
    )
}
