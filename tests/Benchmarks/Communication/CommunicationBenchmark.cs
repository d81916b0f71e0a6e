using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Platform.ServiceDefaults;
using Spectre.Console;

namespace Platform.Benchmarks.Communication;

/// <summary>Compares load, success rate and latency of the service client with those of Microsoft's standard handler, in one run.</summary>
internal static class CommunicationBenchmark
{
    private const int Callers = 32;

    public static async Task<int> RunAsync(string[] args)
    {
        var arguments = new Arguments(args);
        var (requests, seconds, seed) = (arguments.Read("--requests", 20_000), arguments.Read("--seconds", 20), arguments.Read("--seed", 1));
        if (!arguments.AreValid())
        {
            return 2;
        }

        List<LoadRow> load = [];
        foreach (var ratio in (double[])[0.01, 0.05, 0.4, 1])
        {
            foreach (var variant in (Variant[])[Variant.Standard, Variant.StandardWithoutBreaker, Variant.PlatformWithoutBreaker, Variant.Platform])
            {
                // If the leaf always fails, it does so for three times as long. With retries only, each request then takes seconds, so not all requests are made.
                var time = TimeSpan.FromSeconds(ratio < 1 ? seconds : 3 * seconds);
                var row = await MeasureLoadAsync(variant, ratio, requests, time, limit: TimeSpan.FromSeconds(3 * seconds), seed);
                load.Add(row);
                AnsiConsole.MarkupLineInterpolated(CultureInfo.InvariantCulture, $"[grey]leaf failing {ratio:P0}, {variant.Name}: {row.LeafPerRequest:0.00} at the leaf, {row.Success:P2} success[/]");
            }
        }

        var latency = await MeasureLatencyAsync(seed);
        Print(load, latency);
        var file = Path.Combine("TestResults", "communication.json");
        Directory.CreateDirectory("TestResults");
        await File.WriteAllTextAsync(file, JsonSerializer.Serialize(new { at = DateTimeOffset.UtcNow, requests, seconds, seed, processors = Environment.ProcessorCount, load, latency }, PlatformJson.Tolerant));
        AnsiConsole.MarkupLineInterpolated(CultureInfo.InvariantCulture, $"Written to {file}.");
        return 0;
    }

    /// <summary>Spreads the requests evenly over the time. A caller that is late continues without a pause, and stops at the limit.</summary>
    private static async Task<LoadRow> MeasureLoadAsync(Variant variant, double ratio, int requests, TimeSpan time, TimeSpan limit, int seed)
    {
        await using var chain = await Chain.StartAsync(variant, seed);
        for (var i = 0; i < 50; i++)
        {
            using var warm = await chain.Client.GetAsync(new Uri("/", UriKind.Relative));
        }

        var before = chain.LeafRequests;
        chain.FailureRatio = ratio;
        long next = 0, succeeded = 0, made = 0;
        var watch = Stopwatch.StartNew();
        await Task.WhenAll(Enumerable.Range(0, Callers).Select(_ => Task.Run(async () =>
        {
            while (Interlocked.Increment(ref next) - 1 is var n && n < requests && watch.Elapsed < limit)
            {
                var due = time * ((double)n / requests) - watch.Elapsed;
                if (due > TimeSpan.Zero)
                {
                    await Task.Delay(due);
                }

                Interlocked.Increment(ref made);
                try
                {
                    using var response = await chain.Client.GetAsync(new Uri("/", UriKind.Relative));
                    if (response.IsSuccessStatusCode)
                    {
                        Interlocked.Increment(ref succeeded);
                    }
                }
                catch (Exception exception) when (exception is HttpRequestException or Polly.ExecutionRejectedException)
                {
                    // Counts as a failure, like a 5xx.
                }
            }
        })));
        return new(ratio, variant.Name, made, (double)(chain.LeafRequests - before) / made, (double)succeeded / made, watch.Elapsed.TotalSeconds, chain.BreakersOpened);
    }

    /// <summary>One caller and one hop. The variants take turns, so that other load on the machine affects all of them equally.</summary>
    private static async Task<List<LatencyRow>> MeasureLatencyAsync(int seed)
    {
        Variant[] variants = [Variant.Bare, Variant.Standard, Variant.Platform];
        var chains = new List<Chain>();
        try
        {
            foreach (var variant in variants)
            {
                chains.Add(await Chain.StartAsync(variant, seed, middles: 0));
            }

            var samples = variants.Select(_ => new List<double>()).ToArray();
            for (var round = 0; round < 12_000; round++)
            {
                for (var i = 0; i < variants.Length; i++)
                {
                    var began = Stopwatch.GetTimestamp();
                    using (await chains[i].Client.GetAsync(new Uri("/", UriKind.Relative)))
                    {
                        // The first rounds are a warm-up.
                        if (round >= 2_000)
                        {
                            samples[i].Add(Stopwatch.GetElapsedTime(began).TotalMicroseconds);
                        }
                    }
                }
            }

            var rows = variants.Zip(samples, (variant, taken) =>
            {
                taken.Sort();
                return new LatencyRow(variant.Name, taken[taken.Count / 2], taken[taken.Count * 99 / 100]);
            }).ToList();
            rows.Add(await MeasureOpenBreakerAsync(seed));
            return rows;
        }
        finally
        {
            foreach (var chain in chains)
            {
                await chain.DisposeAsync();
            }
        }
    }

    private static async Task<LatencyRow> MeasureOpenBreakerAsync(int seed)
    {
        await using var chain = await Chain.StartAsync(Variant.Platform, seed, middles: 0);
        chain.FailureRatio = 1;
        using var handlers = new HttpMessageInvoker(chain.Caller.GetRequiredService<IHttpMessageHandlerFactory>().CreateHandler(Variant.Client), disposeHandler: false);
        var address = chain.Client.BaseAddress!;
        var samples = new List<double>();
        for (var n = 0; n < 200_000 && samples.Count < 50_000; n++)
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, address);
            var began = Stopwatch.GetTimestamp();
            using var response = await handlers.SendAsync(request, CancellationToken.None);
            var taken = Stopwatch.GetElapsedTime(began).TotalMicroseconds;
            if (response.ReasonPhrase == "Circuit breaker open" && n > 20_000)
            {
                samples.Add(taken);
            }
        }

        samples.Sort();
        return new("service client, breaker open", samples[samples.Count / 2], samples[samples.Count * 99 / 100]);
    }

    private static void Print(IEnumerable<LoadRow> load, IEnumerable<LatencyRow> latency)
    {
        var table = new Table().Title("Three hops over loopback").AddColumns("leaf fails", "each hop", "requests", "at the leaf per request", "success", "seconds", "breakers opened, first hop to last");
        foreach (var row in load)
        {
            table.AddRow(
                row.FailureRatio.ToString("P0", CultureInfo.InvariantCulture), row.Variant, row.Requests.ToString(CultureInfo.InvariantCulture),
                row.LeafPerRequest.ToString("0.0000", CultureInfo.InvariantCulture), row.Success.ToString("P2", CultureInfo.InvariantCulture), row.Seconds.ToString("0.0", CultureInfo.InvariantCulture),
                string.Join(' ', row.BreakersOpened));
        }

        AnsiConsole.Write(table);
        var times = new Table().Title("One hop, one caller").AddColumns("by", "p50 µs", "p99 µs");
        foreach (var row in latency)
        {
            times.AddRow(row.Variant, row.P50.ToString("0.0", CultureInfo.InvariantCulture), row.P99.ToString("0.0", CultureInfo.InvariantCulture));
        }

        AnsiConsole.Write(times);
    }

    private sealed record LoadRow(double FailureRatio, string Variant, long Requests, double LeafPerRequest, double Success, double Seconds, IReadOnlyList<int> BreakersOpened);

    private sealed record LatencyRow(string Variant, double P50, double P99);
}
