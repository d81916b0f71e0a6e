using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Platform.ServiceDefaults.Communication;

namespace Platform.Benchmarks.Communication;

/// <summary>A caller, intermediate services and a leaf that fails randomly: up to three hops over loopback, each with the variant's client.</summary>
internal sealed class Chain : IAsyncDisposable
{
    private readonly List<WebApplication> _applications = [];
    private readonly Random _random;
    private readonly List<Func<int>> _openings = [];
    private long _leafRequests;

    private Chain(int seed) => _random = new Random(seed);

    /// <summary>The share of requests that the leaf answers with 500, 0 to 1.</summary>
    public double FailureRatio { get; set; }

    public long LeafRequests => Interlocked.Read(ref _leafRequests);

    /// <summary>How often the breaker of each hop has opened, from the caller's hop to the leaf's. Empty if the variant doesn't use the platform's breakers.</summary>
    public IReadOnlyList<int> BreakersOpened => [.. _openings.Select(opened => opened()).Reverse()];

    /// <summary>The caller's client.</summary>
    public HttpClient Client { get; private set; } = null!;

    public IServiceProvider Caller => _applications[^1].Services;

    public static async Task<Chain> StartAsync(Variant variant, int seed, int middles = 2)
    {
        var chain = new Chain(seed);
        var next = await chain.AddAsync(_ => { }, app =>
        {
            app.MapGet("/ready", () => "ready");
            app.MapGet("/", chain.AnswerAsLeaf);
        });
        for (var i = 0; i < middles; i++)
        {
            var target = next;
            next = await chain.AddAsync(builder => variant.AddClient(builder, target), app =>
            {
                variant.Use?.Invoke(app);
                app.MapGet("/", PassOnAsync);
            });
        }

        await chain.AddAsync(builder => variant.AddClient(builder, next), app => variant.Use?.Invoke(app));
        chain.Client = chain.Caller.GetRequiredService<IHttpClientFactory>().CreateClient(Variant.Client);
        return chain;
    }

    public async ValueTask DisposeAsync()
    {
        for (var i = _applications.Count - 1; i >= 0; i--)
        {
            await _applications[i].StopAsync();
            await _applications[i].DisposeAsync();
        }
    }

    private static async Task<string> PassOnAsync(IHttpClientFactory clients, CancellationToken cancellationToken) =>
        await clients.CreateClient(Variant.Client).GetStringAsync(new Uri("/", UriKind.Relative), cancellationToken);

    private IResult AnswerAsLeaf()
    {
        Interlocked.Increment(ref _leafRequests);
        bool fails;
        lock (_random)
        {
            fails = _random.NextDouble() < FailureRatio;
        }

        return fails ? Results.StatusCode(StatusCodes.Status500InternalServerError) : Results.Text("leaf");
    }

    private async Task<Uri> AddAsync(Action<WebApplicationBuilder> configure, Action<WebApplication> map)
    {
        var builder = WebApplication.CreateBuilder(new WebApplicationOptions { EnvironmentName = "Development" });
        configure(builder);
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        var app = builder.Build();
        map(app);
        CountOpenings(app.Services);
        await app.StartAsync();
        _applications.Add(app);
        return new Uri(app.Urls.First());
    }

    private void CountOpenings(IServiceProvider services)
    {
        if (services.GetService<Destinations>() is not { } destinations)
        {
            return;
        }

        var opened = 0;
        destinations[Variant.Client].Breaker.Subscribe(change =>
        {
            if (change is { From: CircuitState.Closed, To: CircuitState.Open })
            {
                Interlocked.Increment(ref opened);
            }
        });
        _openings.Add(() => Volatile.Read(ref opened));
    }
}
