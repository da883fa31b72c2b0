package dev.edgestill.demo

import android.app.Activity
import android.os.Bundle as State
import android.os.Handler
import android.os.Looper
import android.view.View
import android.view.ViewGroup
import android.widget.LinearLayout
import android.widget.TextView
import dev.edgestill.core.Bundle
import dev.edgestill.core.EdgestillError
import dev.edgestill.core.Manifest
import dev.edgestill.core.Store
import dev.edgestill.core.tasks.Measure
import java.util.Locale
import kotlin.concurrent.thread

/** The facts in the bundle's manifest, shown after every file's hash was checked. */
open class FactsActivity : Activity() {
    override fun onCreate(state: State?) {
        super.onCreate(state)
        setContentView(R.layout.facts)
        val store = store()
        val main = Handler(Looper.getMainLooper())
        thread(name = "facts") {
            try {
                val bundle = Bundle.open(store)
                bundle.verify()
                main.post { fill(bundle) }
            } catch (error: EdgestillError) {
                main.post { findViewById<TextView>(R.id.title).text = error.message }
            }
        }
    }

    /** Where the bundle is. */
    protected open fun store(): Store = AssetStore(assets, BUNDLE)

    private fun fill(bundle: Bundle) {
        val manifest = bundle.manifest
        findViewById<TextView>(R.id.title).text = manifest.name
        quality(manifest)
        val files = section(R.string.facts_files)
        for ((name, model) in manifest.models) {
            val size = getString(R.string.facts_size, kilobytes(bundle.size(name)))
            fact(files, name, listOf(size, shown(manifest, model.quality)).filter { it.isNotEmpty() }.joinToString(" · "), bundle.files[name]?.let { "sha256 ${it.sha256}" })
        }
        val training = section(R.string.facts_training)
        fact(training, getString(R.string.facts_parameters), String.format(locale(), "%,d", manifest.parameters))
        fact(training, getString(R.string.facts_macs), String.format(locale(), "%,d", manifest.macs))
        for ((key, value) in manifest.training) if (value is String) fact(training, key.replace('_', ' '), value)
        val made = section(R.string.facts_made_by)
        for ((name, version) in manifest.versions) fact(made, name, version)
        fact(made, getString(R.string.facts_bundle), bundle.digest.take(23) + "…")
    }

    private fun quality(manifest: Manifest) {
        val section = section(R.string.facts_quality)
        val names = mapOf("teacher" to R.string.facts_teacher, "student_alone" to R.string.facts_alone, "student_distilled" to R.string.facts_distilled)
        for ((who, label) in names) {
            val found = manifest.quality[who] ?: continue
            fact(section, getString(label), if (who == "teacher") shown(manifest, found) else beside(manifest, found))
        }
        for ((name, model) in manifest.models) if (model.quality.isNotEmpty()) fact(section, name, beside(manifest, model.quality))
        manifest.agreement?.let { fact(section, getString(R.string.facts_agreement), Measure("").show(it, locale())) }
    }

    /** Every measure by its name, the one that decides first; those that this app's tasks have not as plain numbers at the end. */
    private fun shown(manifest: Manifest, found: Map<String, Double>): String {
        val known = manifest.task().about.measures.filter { it.name in found }
        val others = found.keys.filter { name -> known.none { it.name == name } }.map { Measure(it, "") }
        return (known + others).joinToString(" · ") { "${it.name} ${it.show(found.getValue(it.name), locale())}" }
    }

    /** The same, and how much of the teacher's quality that is. */
    private fun beside(manifest: Manifest, found: Map<String, Double>): String {
        val share = manifest.retained(found) ?: return shown(manifest, found)
        return getString(R.string.facts_retained, shown(manifest, found), Measure("").show(share, locale()))
    }

    private fun section(heading: Int): ViewGroup {
        val all = findViewById<LinearLayout>(R.id.sections)
        val made = layoutInflater.inflate(R.layout.section, all, false) as ViewGroup
        made.findViewById<TextView>(R.id.heading).setText(heading)
        all.addView(made)
        return made
    }

    private fun fact(section: ViewGroup, key: String, value: String, more: String? = null) {
        val row = layoutInflater.inflate(R.layout.fact, section, false)
        row.findViewById<TextView>(R.id.key).text = key
        row.findViewById<TextView>(R.id.value).text = value
        row.findViewById<TextView>(R.id.more).let {
            it.text = more
            it.visibility = if (more == null) View.GONE else View.VISIBLE
        }
        section.addView(row)
    }

    private fun kilobytes(bytes: Long) = String.format(locale(), "%.1f kB", bytes / 1000.0)

    private fun locale(): Locale = resources.configuration.locales[0]
}
