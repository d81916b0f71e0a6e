using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Text.Json;
using System.Text.RegularExpressions;
using Npgsql;
using Platform.ServiceDefaults;
using Spectre.Console;

namespace Platform.Benchmarks.Deployments;

/// <summary>
/// Measures the duration of deployments, rollbacks and takeovers, as multiples of a commit on the same disk, and the throughput of the queue and the stores, compared with
/// pgbench and nginx.
/// </summary>
internal static partial class DeploymentBenchmark
{
    private const int Workers = 4;
    private const int Connections = 32;

    public static async Task<int> RunAsync(string[] args)
    {
        var arguments = new Arguments(args);
        // 0 skips a measurement.
        var (deployments, takeovers, reads) = (arguments.Read("--deployments", 200, min: 0), arguments.Read("--takeovers", 20, min: 0), arguments.Read("--reads", 100_000, min: 0));
        var (jobs, waiting) = (arguments.Read("--jobs", 3_000, min: 0), arguments.Read("--waiting", 500, min: 0));
        var (away, seconds) = (arguments.Read("--away", 60), arguments.Read("--seconds", 10));
        if (!arguments.AreValid())
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
            await ComparisonTools.CreatePgbenchQueueAsync(platform);
            var (queue, pgbench) = await QueueBenchmark.MeasureAsync(platform, Workers, TimeSpan.FromSeconds(seconds), slice => ComparisonTools.RunPgbenchAsync(platform, Workers, slice));
            Results.AddRate($"jobs a second through the queue alone, {Workers} workers", queue);
            if (pgbench is not null)
            {
                Results.AddRate($"pgbench: enqueue, claim, complete, {Workers} clients", pgbench.Value);
            }
        }

        if (waiting > 0)
        {
            await using var platform = await LocalPlatform.StartAsync(deployers: 1);
            await MeasureRecoveryAsync(platform, waiting, TimeSpan.FromSeconds(away));
        }

        Results.Print();
        var file = Path.Combine("TestResults", "deployments.json");
        Directory.CreateDirectory("TestResults");
        await File.WriteAllTextAsync(file, JsonSerializer.Serialize(new { at = DateTimeOffset.UtcNow, deployments, takeovers, jobs, waiting, away, seconds, processors = Environment.ProcessorCount, rows = Results.Rows }, PlatformJson.Tolerant));
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

        Results.AddCommit(samples);
    }

    private static async Task MeasureDeploymentsAsync(LocalPlatform platform, int count)
    {
        var template = new BenchmarkTemplate("large", "1.0.0", Files: 200);
        await platform.PublishAsync(template);
        var shop = await platform.CreateShopAsync("large", "name 0.", template);
        List<double> deployed = [], rolledBack = [];
        var name = "";
        // The first 100 deployments are a warm-up.
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
            // Forward again, so that each rollback goes back by one release.
            await LiveAsync("deployments", next);
        }

        Results.AddTimes("request → new page served (200 files, 1 changed)", deployed[^count..]);
        Results.AddTimes("rollback → old page served", rolledBack[^count..]);

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

    /// <summary>Reads pages and their style sheets during deployments and rollbacks, and counts mixtures of releases and failed reads.</summary>
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
            // Alternates between the two versions: forward by a deployment, back by a rollback.
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
            // A new version of the template must be fetched first, which leaves time to kill the worker.
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

            var survivor = platform.Deployers.IndexOf(victim) == 0 ? platform.Deployers[1] : platform.Deployers[0];
            victim.Kill();
            samples.Add(await TimeAsync(() => platform.ServedAsync(slug, slug, survivor)));
            victim.Start();
            await victim.ReadyAsync(limit.Token);
        }

        Results.AddTimes("kill -9 of the worker → page served", samples);
    }

    /// <summary>The process that runs the shop's deployment, or null if the deployment has already finished.</summary>
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

        // Ignores the first 30 %, which are a warm-up.
        await using var rate = platform.DeployerDb.CreateCommand(
            """
            with done as materialized (select finished_at, row_number() over (order by finished_at) as n from deployments)
            select ((count(*) - 1) / nullif(extract(epoch from max(finished_at) - min(finished_at)), 0))::float8 from done where n > (select count(*) from done) * 0.3
            """);
        if (await rate.ExecuteScalarAsync(limit.Token) is double measured)
        {
            Results.AddRate($"deployments a second, {Workers} workers", measured);
        }
    }

    /// <summary>Measures how long deployments that were accepted during an outage of StoreDeployer take to go live after it.</summary>
    private static async Task MeasureRecoveryAsync(LocalPlatform platform, int count, TimeSpan outage)
    {
        var template = new BenchmarkTemplate("small", "1.0.0", Files: 3);
        await platform.PublishAsync(template);
        var down = Stopwatch.StartNew();
        platform.Deployers[0].Kill();
        await Parallel.ForAsync(0, count, new ParallelOptions { MaxDegreeOfParallelism = 8 }, async (n, _) =>
        {
            var slug = string.Create(CultureInfo.InvariantCulture, $"waits-{n}");
            await platform.RequestAsync(await platform.CreateShopAsync(slug, slug, template));
        });
        if (down.Elapsed < outage)
        {
            await Task.Delay(outage - down.Elapsed);
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
            $"{count} deployments accepted while StoreDeployer was down for {down.Elapsed.TotalSeconds - watch.Elapsed.TotalSeconds:0} s: all live {watch.Elapsed.TotalSeconds:0.0} s after it was ready again.");
        await using var dead = backend.CreateCommand("select count(*) from outbox where dead_at is not null");
        AnsiConsole.MarkupLineInterpolated(CultureInfo.InvariantCulture, $"Dead letters: {await dead.ExecuteScalarAsync(limit.Token)}.");
    }

    private static async Task MeasureReadsAsync(LocalPlatform platform, int seconds)
    {
        if (await ComparisonTools.LoadAsync(platform.StoreOf("large"), Connections, seconds) is not { } served)
        {
            return;
        }

        Results.AddRate($"store page reads a second, {Connections} connections", served);
        using var page = await platform.ReadAsync(platform.StoreOf("large"));
        if (await ComparisonTools.LoadNginxAsync(await page.Content.ReadAsByteArrayAsync(), Connections, seconds) is { } nginx)
        {
            Results.AddRate($"nginx: the same page, {Connections} connections", nginx);
        }
    }

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

    [GeneratedRegex("data-version=\"(?<value>[^\"]+)\"", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex VersionOfPage();

    [GeneratedRegex("href=\"(?<value>[^\"]+)\"", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex SheetOfPage();

}
