using System.Net;
using Npgsql;
using Platform.ResilienceTesting;
using Platform.TestSupport;
using Shouldly;

namespace Platform.EdgeTesting;

/// <summary>An empty database, with a proxy between a service and it.</summary>
public sealed class DatabaseWay : IAsyncDisposable
{
    // Only ends a call that would hang: without the service's time-outs, a black hole holds it for ever.
    private static readonly TimeSpan Hanging = TimeSpan.FromSeconds(90);

    private readonly TcpFaultProxy _proxy;

    private DatabaseWay(TestDatabase database, PostgresServer server)
    {
        Database = database;
        _proxy = new TcpFaultProxy(new IPEndPoint(IPAddress.Loopback, server.Port));
        ConnectionString = new NpgsqlConnectionStringBuilder(database.ConnectionString) { Port = _proxy.Port, CommandTimeout = 1 }.ConnectionString;
    }

    /// <summary>For the test's own statements; bypasses the proxy.</summary>
    public TestDatabase Database { get; }

    /// <summary>For the service; goes through the proxy.</summary>
    public string ConnectionString { get; }

    /// <summary>The faults of the proxy.</summary>
    public FaultInjector Faults => _proxy.Faults;

    /// <summary>Creates the database and the proxy.</summary>
    public static async Task<DatabaseWay> CreateAsync(PostgresServer server) => new(await TestDatabase.CreateAsync(server), server);

    /// <summary>
    /// Makes each call during the fault, and asserts that it is refused with 503. A flapping fault may let calls succeed, which are repeated until one is
    /// refused.
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
                    fault.ShouldBeOfType<FlapFault>("the call succeeded despite the fault");
                }
            }
        });
        scope.Struck.ShouldBeGreaterThan(0);
    }

    /// <summary>Makes each call during a fault that only slows down, and asserts that it succeeds.</summary>
    public async Task CarriesAsync(Fault fault, params Func<Task<HttpResponseMessage>>[] calls)
    {
        var scope = Faults.Start(fault);
        await scope.DuringAsync(async () =>
        {
            foreach (var call in calls)
            {
                await Eventually.TrueAsync(() => SucceedsAsync(call));
            }
        });
        scope.Struck.ShouldBeGreaterThan(0);
    }

    /// <summary>Makes each call after the fault until it succeeds.</summary>
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
        using var response = await call().WaitAsync(Hanging);
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
