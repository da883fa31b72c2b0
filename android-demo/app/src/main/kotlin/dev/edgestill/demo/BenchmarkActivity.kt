package dev.edgestill.demo

import android.app.Activity
import android.app.ActivityManager
import android.content.Context
import android.os.Build
import android.os.Bundle as State
import android.os.Handler
import android.os.Looper
import android.view.WindowManager
import android.widget.TextView
import dev.edgestill.core.Here
import dev.edgestill.core.benchmark
import java.io.File
import java.io.IOException
import kotlin.concurrent.thread

/**
 * What `edgestill bench --device adb:SERIAL` starts:
 *
 *     am start -n dev.edgestill.demo/.BenchmarkActivity --es folder NAME --es threads 1,4 …
 *
 * NAME is a folder in the app's external files, where adb can put a bundle and samples, and fetch what was measured; see
 * `dev.edgestill.core.benchmark`. Without a folder of that name the app's own bundle is measured.
 */
class BenchmarkActivity : Activity() {
    override fun onCreate(state: State?) {
        super.onCreate(state)
        setContentView(R.layout.benchmark)
        window.addFlags(WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON)
        val words = WORDS.mapNotNull { key -> intent.getStringExtra(key)?.let { key to it } }.toMap()
        val name = intent.getStringExtra("folder") ?: "benchmark"
        val files = getExternalFilesDir(null)
        if (files == null || !Regex("[A-Za-z0-9_-]{1,80}").matches(name)) return finish()
        if (state != null) return // It was put aside and comes back; the thread goes on, or ended with its process.
        val folder = File(files, name).apply { mkdirs() }
        val own = AssetStore(assets, BUNDLE)
        val factories = engines(this)
        val here = here(this)
        val doing = findViewById<TextView>(R.id.doing)
        val main = Handler(Looper.getMainLooper())
        thread(name = "benchmark", priority = Thread.MAX_PRIORITY) {
            benchmark(folder, own, factories, words, here) { text -> main.post { doing.text = text } }
            main.post { finish() }
        }
    }

    private companion object {
        val WORDS = listOf("threads", "rule", "headline", "min_calls", "min_seconds", "turn_seconds")
    }
}

// What int8 kernels can use → its name in /proc/cpuinfo, as in `edgestill_benchmarks.machine`.
private val FEATURES = mapOf("dotprod" to "asimddp", "i8mm" to "i8mm", "fp16" to "asimdhp", "bf16" to "bf16", "sve" to "sve", "avx2" to "avx2", "avx512" to "avx512f")

private fun here(context: Context): Here {
    val cpu = fields("/proc/cpuinfo")
    val flags = (cpu["Features"] ?: cpu["flags"] ?: "").split(' ')
    val memory = ActivityManager.MemoryInfo().also { context.getSystemService(ActivityManager::class.java).getMemoryInfo(it) }
    val machine = mapOf(
        "cpu" to "${Build.MANUFACTURER} ${Build.MODEL} (${Build.HARDWARE})",
        "features" to FEATURES.filterValues { it in flags }.keys.toList(),
        "architecture" to Build.SUPPORTED_ABIS.first(),
        "cores" to Runtime.getRuntime().availableProcessors(),
        "governor" to null,
        "memory_bytes" to memory.totalMem,
        "os" to "Android ${Build.VERSION.RELEASE}",
        "kernel" to System.getProperty("os.version"),
        "python" to "none",
        "cuda" to null,
        "packages" to mapOf<String, String>(),
    )
    return Here(machine) { fields("/proc/self/status")["VmRSS"]?.substringBefore(' ')?.toLongOrNull()?.times(1024) }
}

/** The lines of a file of /proc: what stands before the colon → what stands behind it. */
private fun fields(path: String): Map<String, String> =
    try {
        File(path).readLines().filter { ':' in it }.associate { it.substringBefore(':').trim() to it.substringAfter(':').trim() }
    } catch (error: IOException) {
        mapOf()
    }
