using System.Text.Json;
using Platform.ServiceDefaults;
using Platform.ServiceDefaults.Postgres.Database;
using Platform.ServiceDefaults.Postgres.Messaging;
using Platform.StoreDeployer.Deployments;
using Platform.StoreDeployer.Deployments.Queue;
using Platform.StoreDeployer.Stores;
using Platform.TestSupport;

namespace Platform.Benchmarks.Deployments;

/// <summary>
/// Measures the queue without the work: receiving a message, which enqueues a job; claiming it; and ending it. These are the product's own transactions, including the
/// messages that they write to the outbox, which are not sent.
/// </summary>
internal static class QueueBenchmark
{
    private static readonly TimeSpan Slice = TimeSpan.FromSeconds(5);

    /// <summary>
    /// Jobs per second after a warm-up of 20 s, because tiered compilation takes some 15 s with both cores busy. Measures in slices that alternate with slices of
    /// <paramref name="other"/>, so that other load on the machine affects both equally. If the other returns null, it is not called again.
    /// </summary>
    public static async Task<(double Jobs, double? Other)> MeasureAsync(LocalPlatform platform, int workers, TimeSpan time, Func<TimeSpan, Task<double?>> other)
    {
        await using var app = await TestApp.StartAsync(
            builder =>
            {
                builder.AddServiceDefaults();
                builder.AddPostgres("deployer-db", typeof(ClaimNextDeployment).Assembly);
                builder.AddStores();
                builder.AddDeployments();
            },
            _ => { },
            new Dictionary<string, string?>
            {
                ["ConnectionStrings:deployer-db"] = platform.ConnectionStringTo("jobs"),
                ["services:backend:http:0"] = $"http://127.0.0.1:{FreePort.Next()}",
                ["services:template-registry:http:0"] = $"http://127.0.0.1:{FreePort.Next()}",
                ["InternalToken"] = "benchmark",
                ["Deployments:Workers"] = "0",
            },
            environment: "Production");
        using var limit = new CancellationTokenSource(TimeSpan.FromMinutes(5) + (2 * time));
        var worker = await app.Get<ProcessSession>().GetIdAsync(limit.Token);
        await RunAsync(TimeSpan.FromSeconds(20));
        var (jobs, others) = (new List<double>(), new List<double?>());
        for (var measured = TimeSpan.Zero; measured < time; measured += Slice)
        {
            jobs.Add(await RunAsync(Slice) / Slice.TotalSeconds);
            if (others is not [.., null])
            {
                others.Add(await other(Slice));
            }
        }

        return (jobs.Average(), others.Average());

        async Task<int> RunAsync(TimeSpan duration)
        {
            using var over = new CancellationTokenSource(duration);
            var counts = await Task.WhenAll(Enumerable.Range(0, workers).Select(_ => Task.Run(async () =>
            {
                var done = 0;
                for (; !over.IsCancellationRequested; done++)
                {
                    await app.Get<Inbox>().ReceiveAsync(Request(), limit.Token);
                    // Other workers may have claimed this job, and theirs may be locked by claims in progress.
                    (DeploymentJob Job, IReadOnlyList<StepState> Steps)? claimed;
                    while ((claimed = await app.Get<ClaimNextDeployment>().ExecuteAsync(worker, limit.Token)) is null)
                    {
                    }

                    await app.Get<FailDeployment>().ExecuteAsync(claimed.Value.Job, claimed.Value.Steps, DeploymentStatus.Cancelled, null, limit.Token);
                }

                return done;
            })));
            return counts.Sum();
        }
    }

    private static CloudEvent Request()
    {
        var (deployment, shop) = (Guid.CreateVersion7(), Guid.CreateVersion7());
        var slug = $"shop-{shop:n}";
        var data = new DeploymentRequested(deployment, shop, slug, DeploymentKind.Deployment, 1, new ShopSnapshot(slug, new Dictionary<string, JsonElement>(), []), DateTimeOffset.UtcNow, new DeployedTemplate("small", "1.0.0", $"sha256:{new string('0', 64)}"));
        return new()
        {
            SpecVersion = "1.0",
            Id = Guid.CreateVersion7().ToString(),
            Source = "backend",
            Type = DeploymentRequested.Type,
            PartitionKey = shop,
            Sequence = 1,
            Data = JsonSerializer.SerializeToElement(data, PlatformJson.Tolerant),
        };
    }
}
