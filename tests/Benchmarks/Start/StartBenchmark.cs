using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Platform.ServiceDefaults;
using Platform.TestSupport;
using Spectre.Console;

namespace Platform.Benchmarks.Start;

/// <summary>
/// The time from the command to the platform's healthy line, beside the time until an AppHost without resources says that it has started.
/// Both are built before, and each is started and stopped in turn.
/// </summary>
internal static class StartBenchmark
{
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(3);

    public static async Task<int> RunAsync(string[] args)
    {
        var arguments = new Arguments(args);
        var starts = arguments.Read("--starts", 5);
        var port = arguments.Read("--port", 9700, min: 1024);
        if (!arguments.AreValid())
        {
            return 2;
        }

        var data = Directory.CreateTempSubdirectory("start-");
        var empty = Path.Combine(RepositoryRoot.Path, "tests/EmptyAppHost/bin/Debug/net10.0/EmptyAppHost.dll");
        (string Name, string Ready, string Program, string[] Arguments)[] variants =
        [
            ("empty AppHost, dotnet EmptyAppHost.dll", "Distributed application started", "dotnet", [empty]),
            ("empty AppHost, dotnet run", "Distributed application started", "dotnet", ["run", "--project", Path.Combine(RepositoryRoot.Path, "tests/EmptyAppHost")]),
            ("platform, ./run", "  Console ", Path.Combine(RepositoryRoot.Path, "run"), ["--port", port.ToString(CultureInfo.InvariantCulture), "--", $"--DataDirectory={data.FullName}"]),
        ];
        var seconds = variants.ToDictionary(variant => variant.Name, _ => new List<double>());
        try
        {
            for (var n = 0; n <= starts; n++)
            {
                foreach (var (name, ready, program, options) in variants)
                {
                    var took = await StartAsync(ready, program, options);
                    // The first one creates the databases and warms the disk's cache.
                    if (n > 0)
                    {
                        seconds[name].Add(took.TotalSeconds);
                        AnsiConsole.MarkupLineInterpolated(CultureInfo.InvariantCulture, $"[grey]{name}: {took.TotalSeconds:0.0} s[/]");
                    }
                }
            }
        }
        finally
        {
            data.Delete(recursive: true);
        }

        var rows = variants.Select(variant => new StartRow(variant.Name, Median(seconds[variant.Name]), seconds[variant.Name].Min(), seconds[variant.Name].Max())).ToList();
        var table = new Table().AddColumns("until healthy", "median s", "least s", "most s", "x empty dll", "x empty run");
        foreach (var row in rows)
        {
            table.AddRow(row.Name, Text(row.Median), Text(row.Least), Text(row.Most), Text(row.Median / rows[0].Median), Text(row.Median / rows[1].Median));
        }

        AnsiConsole.Write(table);
        Directory.CreateDirectory("TestResults");
        await File.WriteAllTextAsync("TestResults/start.json", JsonSerializer.Serialize(new { at = DateTimeOffset.UtcNow, starts, processors = Environment.ProcessorCount, rows }, PlatformJson.Tolerant));
        return 0;
    }

    private static async Task<TimeSpan> StartAsync(string ready, string program, string[] arguments)
    {
        var start = new ProcessStartInfo(program, arguments)
        {
            UseShellExecute = false,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            Environment =
            {
                ["DOTNET_ENVIRONMENT"] = "Development",
                ["ASPIRE_ALLOW_UNSECURED_TRANSPORT"] = "true",
                ["ASPNETCORE_URLS"] = $"http://localhost:{FreePort.Next()}",
                ["ASPIRE_DASHBOARD_OTLP_ENDPOINT_URL"] = $"http://localhost:{FreePort.Next()}",
                ["ASPIRE_RESOURCE_SERVICE_ENDPOINT_URL"] = $"http://localhost:{FreePort.Next()}",
            },
        };
        using var limit = new CancellationTokenSource(Limit);
        var watch = Stopwatch.StartNew();
        using var process = Process.Start(start)!;
        var errors = process.StandardError.ReadToEndAsync(CancellationToken.None);
        List<string> lines = [];
        try
        {
            while (await process.StandardOutput.ReadLineAsync(limit.Token) is { } line)
            {
                lines.Add(line);
                if (line.Contains(ready, StringComparison.Ordinal))
                {
                    return watch.Elapsed;
                }
            }

            throw new InvalidOperationException($"{program} ended before it was ready: {string.Join('\n', lines)}\n{await errors}");
        }
        finally
        {
            // As Ctrl-C does: `dotnet run` waits for its child, which gets the signal from the terminal.
            var id = process.Id.ToString(CultureInfo.InvariantCulture);
            using var children = Process.Start("pkill", ["-INT", "-P", id]);
            await children.WaitForExitAsync(limit.Token);
            using var interrupt = Process.Start("kill", ["-INT", id]);
            await process.StandardOutput.ReadToEndAsync(limit.Token);
            await process.WaitForExitAsync(limit.Token);
        }
    }

    private static double Median(List<double> values)
    {
        values.Sort();
        return (values[(values.Count - 1) / 2] + values[values.Count / 2]) / 2;
    }

    private static string Text(double value) => value.ToString("0.00", CultureInfo.InvariantCulture);

    private sealed record StartRow(string Name, double Median, double Least, double Most);
}
