using System.Diagnostics;
using System.Net;
using Npgsql;
using Platform.ResilienceTesting;
using Platform.TestSupport;
using Shouldly;

namespace Platform.EdgeTesting;

/// <summary>An empty database, and the way from a service to it.</summary>
public sealed class DatabaseWay : IAsyncDisposable
{
    // a command, its cancellation and a connection take a second each at most, and a busy machine as long again and more
    private static readonly TimeSpan NotForEver = TimeSpan.FromSeconds(12);

    private readonly TcpFaultProxy _proxy;

    private DatabaseWay(TestDatabase database, PostgresServer server)
    {
        Database = database;
        _proxy = new TcpFaultProxy(new IPEndPoint(IPAddress.Loopback, server.Port));
        ConnectionString = new NpgsqlConnectionStringBuilder(database.ConnectionString) { Port = _proxy.Port, CommandTimeout = 1 }.ConnectionString;
    }

    /// <summary>For the test's own statements: never faulty.</summary>
    public TestDatabase Database { get; }

    /// <summary>For the service.</summary>
    public string ConnectionString { get; }

    /// <summary>What goes wrong on the way.</summary>
    public FaultInjector Faults => _proxy.Faults;

    /// <summary>Makes one.</summary>
    public static async Task<DatabaseWay> CreateAsync(PostgresServer server) => new(await TestDatabase.CreateAsync(server), server);

    /// <summary>
    /// Makes each call over the broken way, over one that is broken by turns until it shows: it is refused with 503, and nobody waits long for that or gets any other error.
    /// </summary>
    public async Task RefusesAsync(Fault fault, params Func<Task<HttpResponseMessage>>[] calls)
    {
        var scope = Faults.Start(fault);
        await scope.DuringAsync(async () =>
        {
            foreach (var call in calls)
            {
                while (await SucceedsAsync(call))
                {
                    fault.ShouldBeOfType<FlapFault>("a success over a broken way");
                }
            }
        });
        scope.Struck.ShouldBeGreaterThan(0);
    }

    /// <summary>Makes each call over the slow way, and all of them succeed.</summary>
    public async Task CarriesAsync(Fault fault, params Func<Task<HttpResponseMessage>>[] calls)
    {
        var scope = Faults.Start(fault);
        await scope.DuringAsync(async () =>
        {
            foreach (var call in calls)
            {
                (await SucceedsAsync(call)).ShouldBeTrue();
            }
        });
        scope.Struck.ShouldBeGreaterThan(0);
    }

    /// <summary>Makes each call, now that the way is whole, until it succeeds.</summary>
    public static async Task RecoversAsync(params Func<Task<HttpResponseMessage>>[] calls)
    {
        foreach (var call in calls)
        {
            await Eventually.Async(async () =>
            {
                using var response = await call();
                response.IsSuccessStatusCode.ShouldBeTrue(await response.Content.ReadAsStringAsync());
            });
        }
    }

    /// <inheritdoc />
    public async ValueTask DisposeAsync()
    {
        await _proxy.DisposeAsync();
        await Database.DisposeAsync();
    }

    private static async Task<bool> SucceedsAsync(Func<Task<HttpResponseMessage>> call)
    {
        var watch = Stopwatch.StartNew();
        using var response = await call();
        watch.Elapsed.ShouldBeLessThan(NotForEver);
        if (response.IsSuccessStatusCode)
        {
            return true;
        }

        response.StatusCode.ShouldBe(HttpStatusCode.ServiceUnavailable, await response.Content.ReadAsStringAsync());
        response.Content.Headers.ContentType!.MediaType.ShouldBe("application/problem+json");
        response.Headers.RetryAfter.ShouldNotBeNull();
        response.Headers.GetValues("X-Should-Retry").ShouldBe(["false"]);
        return false;
    }
}
