using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Text.Json;
using System.Text.RegularExpressions;
using Npgsql;
using Platform.ServiceDefaults;
using Platform.TestSupport;
using Spectre.Console;

namespace Platform.Benchmarks.Deployments;

/// <summary>How long a deployment, a rollback and a takeover take, as multiples of a commit on this disk, and what queue and stores carry beside pgbench and nginx.</summary>
internal static partial class DeploymentBenchmark
{
    private const int Workers = 4;
    private const int Connections = 32;

    private static readonly string PgbenchScript = Path.Combine(Path.GetTempPath(), "platform-queue.sql");
    private static readonly List<Row> Rows = [];
    private static double _commit;

    public static async Task<int> RunAsync(string[] args)
    {
        var arguments = new Arguments(args);
        // none of what is 0
        var (deployments, takeovers, reads) = (arguments.Read("--deployments", 200, least: 0), arguments.Read("--takeovers", 20, least: 0), arguments.Read("--reads", 100_000, least: 0));
        var (jobs, waiting) = (arguments.Read("--jobs", 3_000, least: 0), arguments.Read("--waiting", 500, least: 0));
        var (away, seconds) = (arguments.Read("--away", 60), arguments.Read("--seconds", 10));
        if (!arguments.AreSound())
        {
            return 2;
        }

        await using (var platform = await LocalPlatform.StartAsync(deployers: 2))
        {
            await MeasureCommitAsync(platform);
            if (deployments > 0)
            {
                await MeasureDeploymentsAsync(platform, deployments);
                await MeasureReadsAsync(platform, seconds);
            }

            if (reads > 0)
            {
                await CountMixturesAsync(platform, reads);
            }

            if (takeovers > 0)
            {
                await MeasureTakeoversAsync(platform, takeovers);
            }
        }

        if (jobs > 0)
        {
            await using var platform = await LocalPlatform.StartAsync(deployers: 1);
            await MeasureJobsAsync(platform, jobs);
            await CreatePgbenchQueueAsync(platform);
            var (queue, pgbench) = await QueueBenchmark.MeasureAsync(platform, Workers, TimeSpan.FromSeconds(seconds), slice => RunPgbenchAsync(platform, slice));
            AddRate($"jobs a second through the queue alone, {Workers} workers", queue);
            if (pgbench is not null)
            {
                AddRate($"pgbench: enqueue, claim, complete, {Workers} clients", pgbench.Value);
            }
        }

        if (waiting > 0)
        {
            await using var platform = await LocalPlatform.StartAsync(deployers: 1);
            await MeasureReturnAsync(platform, waiting, TimeSpan.FromSeconds(away));
        }

        Print();
        var file = Path.Combine("TestResults", "deployments.json");
        Directory.CreateDirectory("TestResults");
        await File.WriteAllTextAsync(file, JsonSerializer.Serialize(new { at = DateTimeOffset.UtcNow, deployments, takeovers, jobs, waiting, away, seconds, processors = Environment.ProcessorCount, rows = Rows }, PlatformJson.Tolerant));
        AnsiConsole.MarkupLineInterpolated(CultureInfo.InvariantCulture, $"Written to {file}.");
        return 0;
    }

    private static async Task MeasureCommitAsync(LocalPlatform platform)
    {
        await using var connection = new NpgsqlConnection(platform.ConnectionStringTo("queue"));
        await connection.OpenAsync();
        await ExecuteAsync(connection, "create table commits (n int)");
        var samples = new List<double>();
        for (var n = 0; n < 2_000; n++)
        {
            await using var transaction = await connection.BeginTransactionAsync();
            await ExecuteAsync(connection, "insert into commits values (1)");
            samples.Add(await TimeAsync(() => transaction.CommitAsync()));
        }

        AddTimes("COMMIT", samples);
        _commit = Rows[0].P50;
    }

    private static async Task MeasureDeploymentsAsync(LocalPlatform platform, int count)
    {
        var template = new BenchmarkTemplate("large", "1.0.0", Files: 200);
        await platform.PublishAsync(template);
        var shop = await platform.CreateShopAsync("large", "name 0.", template);
        List<double> deployed = [], rolledBack = [];
        var name = "";
        // the first ones let the services' code be compiled for what it does most
        for (var n = -100; n < count; n++)
        {
            var (before, next) = (name, string.Create(CultureInfo.InvariantCulture, $"name {n}."));
            name = next;
            await platform.RenameAsync(shop, "large", name, template);
            deployed.Add(await LiveAsync("deployments", next));
            if (before.Length == 0)
            {
                continue;
            }

            rolledBack.Add(await LiveAsync("rollback", before));
            // forward again, so that each rollback goes back by one
            await LiveAsync("deployments", next);
        }

        AddTimes("request → new page served (200 files, 1 changed)", deployed[^count..]);
        AddTimes("rollback → old page served", rolledBack[^count..]);

        async Task<double> LiveAsync(string what, string text)
        {
            var deployment = Guid.Empty;
            var took = await TimeAsync(async () =>
            {
                deployment = await platform.RequestAsync(shop, what);
                await platform.ServedAsync("large", text);
            });
            await platform.KnownToBeLiveAsync(deployment);
            return took;
        }
    }

    /// <summary>Reads pages and their style sheets while releases come and go, and counts what is not of one release, or not there.</summary>
    private static async Task CountMixturesAsync(LocalPlatform platform, int reads)
    {
        const int Changes = 200;
        BenchmarkTemplate[] templates = [new("changing", "1.0.0", Files: 20), new("changing", "2.0.0", Files: 20)];
        foreach (var template in templates)
        {
            await platform.PublishAsync(template);
        }

        var shop = await platform.CreateShopAsync("changing", "changing", templates[0]);
        await platform.KnownToBeLiveAsync(await platform.RequestAsync(shop));
        var store = platform.StoreOf("changing");
        long made = 0, missing = 0, mixed = 0;
        using var changed = new CancellationTokenSource();
        var reading = Task.WhenAll(Enumerable.Range(0, 8).Select(_ => Task.Run(async () =>
        {
            while (Interlocked.Read(ref made) < reads || !changed.IsCancellationRequested)
            {
                var page = await GetAsync(store);
                var version = VersionOfPage().Match(page);
                var sheet = await GetAsync(new(store, SheetOfPage().Match(page).Groups["value"].Value));
                if (!sheet.Contains($"version {version.Groups["value"].Value} ", StringComparison.Ordinal))
                {
                    Interlocked.Increment(ref mixed);
                }
            }
        })));
        for (var n = 1; n <= Changes; n++)
        {
            // to the other version: forward by a deployment, back by a rollback
            var deployment = await (n % 2 == 1 ? platform.RequestAsync(shop, version: templates[1].Version) : platform.RequestAsync(shop, "rollback"));
            await platform.ServedAsync("changing", Marked(n % 2));
            await platform.KnownToBeLiveAsync(deployment);
        }

        await changed.CancelAsync();
        await reading;
        AnsiConsole.MarkupLineInterpolated(CultureInfo.InvariantCulture, $"{made} reads of a store during {Changes} deployments and rollbacks: {missing} not answered with 200, {mixed} pages with another release's style sheet.");

        string Marked(int version) => $"data-version=\"{templates[version].Version}\"";

        async Task<string> GetAsync(Uri address)
        {
            Interlocked.Increment(ref made);
            using var response = await platform.ReadAsync(address);
            if (response.StatusCode != HttpStatusCode.OK)
            {
                Interlocked.Increment(ref missing);
            }

            return await response.Content.ReadAsStringAsync();
        }
    }

    private static async Task MeasureTakeoversAsync(LocalPlatform platform, int count)
    {
        var samples = new List<double>();
        using var limit = new CancellationTokenSource(TimeSpan.FromMinutes(10));
        for (var n = 0; n < count; n++)
        {
            // one that nobody has fetched yet takes a moment, in which its worker is killed
            var template = new BenchmarkTemplate("taken-over", $"1.0.{n}", Files: 200);
            await platform.PublishAsync(template);
            var slug = string.Create(CultureInfo.InvariantCulture, $"taken-over-{n}");
            var shop = await platform.CreateShopAsync(slug, slug, template);
            await platform.RequestAsync(shop);
            var worker = await WorkerOfAsync(platform, shop, limit.Token);
            if (platform.Deployers.FirstOrDefault(deployer => deployer.ProcessId == worker) is not { } victim)
            {
                continue;
            }

            var asked = platform.Deployers.IndexOf(victim) == 0 ? platform.Deployers[1] : platform.Deployers[0];
            victim.Kill();
            samples.Add(await TimeAsync(() => platform.ServedAsync(slug, slug, asked)));
            victim.Start();
            await victim.ReadyAsync(limit.Token);
        }

        AddTimes("kill -9 of the worker → page served", samples);
    }

    /// <summary>The process that runs the shop's deployment, or null when it is over already.</summary>
    private static async Task<int?> WorkerOfAsync(LocalPlatform platform, Guid shop, CancellationToken cancellationToken)
    {
        while (true)
        {
            await using var command = platform.DeployerDb.CreateCommand(
                "select d.status, p.process_id from deployments d left join processes p on p.id = d.worker where d.shop_id = $1");
            command.Parameters.Add(new() { Value = shop });
            await using var reader = await command.ExecuteReaderAsync(cancellationToken);
            if (await reader.ReadAsync(cancellationToken))
            {
                switch (reader.GetString(0))
                {
                    case "running" when !await reader.IsDBNullAsync(1, cancellationToken):
                        return reader.GetInt32(1);
                    case "live":
                        return null;
                }
            }
        }
    }

    private static async Task MeasureJobsAsync(LocalPlatform platform, int count)
    {
        var template = new BenchmarkTemplate("small", "1.0.0", Files: 3);
        await platform.PublishAsync(template);
        var digest = await platform.DigestOfAsync(template);
        var intake = platform.AddDeployer(("Deployments__Workers", "0"));
        using var limit = new CancellationTokenSource(TimeSpan.FromMinutes(5));
        intake.Start();
        await intake.ReadyAsync(limit.Token);
        platform.Deployers[0].Kill();
        await Parallel.ForAsync(0, count, new ParallelOptions { MaxDegreeOfParallelism = 16 }, async (n, _) =>
            await platform.SendDeploymentAsync(intake, string.Create(CultureInfo.InvariantCulture, $"job-{n}"), digest, template));
        var worker = platform.AddDeployer(("Deployments__Workers", Workers.ToString(CultureInfo.InvariantCulture)));
        worker.Start();
        await using var live = platform.DeployerDb.CreateCommand("select count(*) from deployments where status = 'live'");
        while ((long)(await live.ExecuteScalarAsync(limit.Token))! < count)
        {
            await Task.Delay(500, limit.Token);
        }

        // without the first ones, in which the worker's code is compiled
        await using var rate = platform.DeployerDb.CreateCommand(
            """
            with done as materialized (select finished_at, row_number() over (order by finished_at) as n from deployments)
            select ((count(*) - 1) / nullif(extract(epoch from max(finished_at) - min(finished_at)), 0))::float8 from done where n > (select count(*) from done) * 0.3
            """);
        if (await rate.ExecuteScalarAsync(limit.Token) is double measured)
        {
            AddRate($"deployments a second, {Workers} workers", measured);
        }
    }

    /// <summary>How long deployments that were accepted while StoreDeployer was away take to go live when it is back.</summary>
    private static async Task MeasureReturnAsync(LocalPlatform platform, int count, TimeSpan away)
    {
        var template = new BenchmarkTemplate("small", "1.0.0", Files: 3);
        await platform.PublishAsync(template);
        var gone = Stopwatch.StartNew();
        platform.Deployers[0].Kill();
        await Parallel.ForAsync(0, count, new ParallelOptions { MaxDegreeOfParallelism = 8 }, async (n, _) =>
        {
            var slug = string.Create(CultureInfo.InvariantCulture, $"waits-{n}");
            await platform.RequestAsync(await platform.CreateShopAsync(slug, slug, template));
        });
        if (gone.Elapsed < away)
        {
            await Task.Delay(away - gone.Elapsed);
        }

        using var limit = new CancellationTokenSource(TimeSpan.FromMinutes(5));
        platform.Deployers[0].Start();
        await platform.Deployers[0].ReadyAsync(limit.Token);
        var watch = Stopwatch.StartNew();
        await using var backend = NpgsqlDataSource.Create(platform.ConnectionStringTo("backend"));
        await using var live = backend.CreateCommand("select count(*) from deployments where status = 'live'");
        while ((long)(await live.ExecuteScalarAsync(limit.Token))! < count)
        {
            await Task.Delay(50, limit.Token);
        }

        AnsiConsole.MarkupLineInterpolated(CultureInfo.InvariantCulture,
            $"{count} deployments accepted while StoreDeployer was away for {gone.Elapsed.TotalSeconds - watch.Elapsed.TotalSeconds:0} s: all live {watch.Elapsed.TotalSeconds:0.0} s after its return.");
        await using var dead = backend.CreateCommand("select count(*) from outbox where dead_at is not null");
        AnsiConsole.MarkupLineInterpolated(CultureInfo.InvariantCulture, $"Dead letters: {await dead.ExecuteScalarAsync(limit.Token)}.");
    }

    private static async Task CreatePgbenchQueueAsync(LocalPlatform platform)
    {
        await using var connection = new NpgsqlConnection(platform.ConnectionStringTo("queue"));
        await connection.OpenAsync();
        await ExecuteAsync(connection, """
            create table jobs (id bigserial primary key, payload text not null, status text not null default 'queued', token bigint not null default 0);
            create index on jobs (id) where status = 'queued'
            """);
        await using var source = typeof(DeploymentBenchmark).Assembly.GetManifestResourceStream("Platform.Benchmarks.Deployments.queue.sql")!;
        await using var target = File.Create(PgbenchScript);
        await source.CopyToAsync(target);
    }

    /// <summary>Transactions a second; null when there is no pgbench here.</summary>
    private static async Task<double?> RunPgbenchAsync(LocalPlatform platform, TimeSpan time)
    {
        var address = new NpgsqlConnectionStringBuilder(platform.ConnectionStringTo("queue"));
        var output = await RunToolAsync("pgbench", "postgresql", [
            "--no-vacuum", "-f", PgbenchScript, "-c", $"{Workers}", "-j", "2", "-T", $"{time.TotalSeconds:0}", "-h", address.Host!, "-p", $"{address.Port}", "-U", address.Username!, address.Database!,
        ], ("PGPASSWORD", address.Password!));
        return output is null ? null : Rate(TransactionsPerSecond(), output);
    }

    private static async Task MeasureReadsAsync(LocalPlatform platform, int seconds)
    {
        if (await LoadAsync(platform.StoreOf("large"), seconds) is not { } served)
        {
            return;
        }

        AddRate($"store page reads a second, {Connections} connections", served);
        var folder = Directory.CreateTempSubdirectory("platform-nginx-");
        try
        {
            using (var page = await platform.ReadAsync(platform.StoreOf("large")))
            {
                await File.WriteAllBytesAsync(Path.Combine(folder.FullName, "index.html"), await page.Content.ReadAsByteArrayAsync());
            }

            var port = FreePort.Next();
            var configuration = Path.Combine(folder.FullName, "nginx.conf");
            await File.WriteAllTextAsync(configuration, $$"""
                daemon off; pid {{folder.FullName}}/pid; error_log {{folder.FullName}}/error.log; worker_processes auto; user root;
                events { worker_connections 1024; }
                http { access_log off; types { text/html html; } sendfile on; keepalive_requests 1000000; server { listen 127.0.0.1:{{port}}; root {{folder.FullName}}; } }
                """);
            Process nginx;
            try
            {
                nginx = Process.Start(new ProcessStartInfo("nginx") { ArgumentList = { "-c", configuration }, RedirectStandardError = true, UseShellExecute = false })!;
            }
            catch (System.ComponentModel.Win32Exception)
            {
                AnsiConsole.MarkupLine("[grey]nginx was not found, so there is nothing to compare reads with (Debian: nginx).[/]");
                return;
            }

            try
            {
                await Task.Delay(500);
                if (await LoadAsync(new Uri($"http://127.0.0.1:{port}/index.html"), seconds) is { } beside)
                {
                    AddRate($"nginx: the same page, {Connections} connections", beside);
                }
            }
            finally
            {
                nginx.Kill(entireProcessTree: true);
                await nginx.WaitForExitAsync();
                nginx.Dispose();
            }
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    private static async Task<double?> LoadAsync(Uri address, int seconds)
    {
        var output = await RunToolAsync("wrk", "wrk", ["-t1", $"-c{Connections}", $"-d{seconds}s", address.ToString()]);
        if (output?.Contains("Non-2xx", StringComparison.Ordinal) == true)
        {
            throw new InvalidOperationException($"{address} was not answered as it should be: {output}");
        }

        return output is null ? null : Rate(RequestsPerSecond(), output);
    }

    private static async Task<string?> RunToolAsync(string program, string package, IEnumerable<string> arguments, params (string Key, string Value)[] environment)
    {
        var start = new ProcessStartInfo(program) { RedirectStandardOutput = true, RedirectStandardError = true, UseShellExecute = false };
        foreach (var argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        foreach (var (key, value) in environment)
        {
            start.Environment[key] = value;
        }

        try
        {
            using var process = Process.Start(start)!;
            var errors = process.StandardError.ReadToEndAsync();
            var output = await process.StandardOutput.ReadToEndAsync();
            await process.WaitForExitAsync();
            return process.ExitCode == 0 ? output : throw new InvalidOperationException($"{program} failed: {await errors}");
        }
        catch (System.ComponentModel.Win32Exception)
        {
            AnsiConsole.MarkupLineInterpolated(CultureInfo.InvariantCulture, $"[grey]{program} was not found, so what it measures is left out (Debian: {package}).[/]");
            return null;
        }
    }

    private static double? Rate(Regex pattern, string output) =>
        pattern.Match(output) is { Success: true } match ? double.Parse(match.Groups["value"].Value, CultureInfo.InvariantCulture) : null;

    private static async Task<double> TimeAsync(Func<Task> action)
    {
        var began = Stopwatch.GetTimestamp();
        await action();
        return Stopwatch.GetElapsedTime(began).TotalMilliseconds;
    }

    private static async Task ExecuteAsync(NpgsqlConnection connection, string sql)
    {
        await using var command = new NpgsqlCommand(sql, connection);
        await command.ExecuteNonQueryAsync();
    }

    private static void AddTimes(string what, List<double> samples)
    {
        samples.Sort();
        Rows.Add(new(what, samples.Count, samples[samples.Count / 2], samples[samples.Count * 99 / 100], null));
        AnsiConsole.MarkupLineInterpolated(CultureInfo.InvariantCulture, $"[grey]{what}: {Rows[^1].P50:0.0} ms, p99 {Rows[^1].P99:0.0} ms[/]");
    }

    private static void AddRate(string what, double rate)
    {
        Rows.Add(new(what, 1, 0, 0, rate));
        AnsiConsole.MarkupLineInterpolated(CultureInfo.InvariantCulture, $"[grey]{what}: {rate:0}[/]");
    }

    private static void Print()
    {
        var times = new Table().AddColumns("", "times", "p50 ms", "in COMMITs", "p99 ms", "in COMMITs");
        foreach (var row in Rows.Where(row => row.PerSecond is null))
        {
            times.AddRow(row.What, Text(row.Samples, "0"), Text(row.P50, "0.00"), Text(row.P50 / _commit, "0"), Text(row.P99, "0.00"), Text(row.P99 / _commit, "0"));
        }

        AnsiConsole.Write(times);
        var rates = new Table().AddColumns("", "a second", "per COMMIT");
        foreach (var row in Rows.Where(row => row.PerSecond is not null))
        {
            rates.AddRow(row.What, Text(row.PerSecond!.Value, "0"), Text(row.PerSecond.Value * _commit / 1000, "0.00"));
        }

        AnsiConsole.Write(rates);

        static string Text(double value, string format) => value.ToString(format, CultureInfo.InvariantCulture);
    }

    [GeneratedRegex("data-version=\"(?<value>[^\"]+)\"", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex VersionOfPage();

    [GeneratedRegex("href=\"(?<value>[^\"]+)\"", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex SheetOfPage();

    [GeneratedRegex(@"Requests/sec:\s+(?<value>[\d.]+)", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex RequestsPerSecond();

    [GeneratedRegex(@"tps = (?<value>[\d.]+)", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex TransactionsPerSecond();

    private sealed record Row(string What, int Samples, double P50, double P99, double? PerSecond);
}
