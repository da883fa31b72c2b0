package dev.edgestill.core

import kotlin.math.ceil
import kotlin.math.floor
import kotlin.math.min

/**
 * How much is measured; the rules of `edgestill_benchmarks`.
 *
 * @property headline the percentile that counts. minCalls, minSeconds: each function is timed until it has both.
 * @property turnSeconds how long one is timed before the next has its turn.
 */
data class Rule(
    val name: String = "interleaved",
    val headline: String = "p50",
    val minCalls: Int = 1000,
    val minSeconds: Double = 5.0,
    val turnSeconds: Double = 0.1,
)

/**
 * Times of single calls, milliseconds: percentiles, mean and minimum of the warm ones, and the first call apart.
 *
 * @property drift p50 of the second half of the calls / that of the first, less 1.
 */
data class Latency(
    val p50: Double,
    val p90: Double,
    val p99: Double,
    val mean: Double,
    val min: Double,
    val first: Double,
    val calls: Int,
    val drift: Double,
)

private const val WARM_UP_CALLS = 20
private const val WARM_UP_SECONDS = 0.5

/** The value below which a share of the numbers lies (0–100), linear between neighbours, as numpy computes it. */
fun percentile(values: DoubleArray, share: Double): Double {
    require(values.isNotEmpty()) { "no numbers" }
    val sorted = values.sortedArray()
    val place = share / 100 * (sorted.size - 1)
    val (below, above) = sorted[floor(place).toInt()] to sorted[ceil(place).toInt()]
    return below + (above - below) * (place - floor(place))
}

/** Summary of `times` (milliseconds, in the order of the calls), without the `first` call. */
fun summarize(first: Double, times: DoubleArray): Latency {
    val middle = (times.size + 1) / 2
    val halves = listOf(times.copyOfRange(0, middle), times.copyOfRange(middle, times.size)).filter { it.isNotEmpty() }
    val (early, late) = percentile(halves.first(), 50.0) to percentile(halves.last(), 50.0)
    val (p50, p90, p99) = listOf(50.0, 90.0, 99.0).map { percentile(times, it) }
    return Latency(p50, p90, p99, times.average(), times.min(), first, times.size, late / early - 1)
}

/**
 * Time so many calls of one function, after a first one, which is kept apart, and some to warm up.
 *
 * @param onProgress called from time to time with the share that is done, 0–1.
 * @param goOn called before each call; if it returns false, the times so far are summarized.
 */
fun measureCalls(calls: Int, onProgress: (Double) -> Unit = {}, goOn: () -> Boolean = { true }, call: () -> Unit): Latency {
    require(calls >= 1) { "at least one call, not $calls" }
    val first = timed(call)
    repeat(WARM_UP_CALLS) { call() }
    val times = ArrayList<Double>(calls)
    while (times.size < calls && (times.isEmpty() || goOn())) {
        times.add(timed(call))
        if (times.size % 10 == 0) onProgress(times.size.toDouble() / calls)
    }
    return summarize(first, times.toDoubleArray())
}

/**
 * Time some functions together, a short turn each, round after round: what disturbs the machine for a while then
 * disturbs all of them, and their ratios stay.
 *
 * @param calls name → a function that makes one call.
 */
fun measureInTurns(calls: Map<String, () -> Unit>, rule: Rule, onProgress: (Double) -> Unit = {}): Map<String, Latency> {
    val turns = calls.mapValues { Turns(it.value) }
    turns.values.forEach { it.warmUp(min(WARM_UP_SECONDS, rule.minSeconds)) }
    while (turns.values.any { it.share(rule) < 1 }) {
        for (turn in turns.values) {
            turn.take(rule.turnSeconds)
            onProgress(turns.values.sumOf { it.share(rule) } / turns.size)
        }
    }
    return turns.mapValues { summarize(it.value.first, it.value.times.toDoubleArray()) }
}

private class Turns(val call: () -> Unit) {
    var first = 0.0
    val times = ArrayList<Double>()
    private var seconds = 0.0

    fun share(rule: Rule) = minOf(1.0, times.size.toDouble() / rule.minCalls, seconds / maxOf(rule.minSeconds, 1e-9))

    fun warmUp(least: Double) {
        first = timed(call)
        val started = System.nanoTime()
        var calls = 0
        while (calls++ < WARM_UP_CALLS || secondsSince(started) < least) call()
    }

    fun take(turnSeconds: Double) {
        call() // not counted: it finds the caches full of another file
        val started = System.nanoTime()
        do times.add(timed(call)) while (secondsSince(started) < turnSeconds)
        seconds += secondsSince(started)
    }
}

internal fun secondsSince(nanos: Long): Double = (System.nanoTime() - nanos) / 1e9

private fun timed(call: () -> Unit): Double {
    val started = System.nanoTime()
    call()
    return (System.nanoTime() - started) / 1e6
}
