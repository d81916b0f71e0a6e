using System.Net;
using Npgsql;
using Platform.ResilienceTesting;
using Platform.TestSupport;
using Shouldly;

namespace Platform.EdgeTesting;

/// <summary>An empty database, with a proxy between a service and it.</summary>
public sealed class DatabaseWay : IAsyncDisposable
{
    /// <summary>Time-outs for <see cref="CarriesAsync"/>: long, so that no call fails because the machine is busy.</summary>
    public const int SlowTimeout = 30;

    /// <summary>Time-outs for <see cref="RefusesAsync"/>: short, because faults that swallow bytes make each call wait for them.</summary>
    public const int BrokenTimeout = 1;

    // Only ends a call that would hang: without the service's time-outs, a black hole holds it for ever.
    private static readonly TimeSpan Hanging = TimeSpan.FromSeconds(90);

    // A write isn't retried by the service, so each pooled connection that the fault has broken may still fail one call.
    private const int AttemptsAfterRecovery = 3;

    private readonly TcpFaultProxy _proxy;

    private DatabaseWay(TestDatabase database, PostgresServer server, int timeout)
    {
        Database = database;
        _proxy = new TcpFaultProxy(new IPEndPoint(IPAddress.Loopback, server.Port));
        ConnectionString = new NpgsqlConnectionStringBuilder(database.ConnectionString) { Port = _proxy.Port, Timeout = timeout, CommandTimeout = timeout }.ConnectionString;
    }

    /// <summary>For the test's own statements; bypasses the proxy.</summary>
    public TestDatabase Database { get; }

    /// <summary>For the service; goes through the proxy.</summary>
    public string ConnectionString { get; }

    /// <summary>The faults of the proxy.</summary>
    public FaultInjector Faults => _proxy.Faults;

    /// <summary>Creates the database and the proxy. The service's connections and commands time out after <paramref name="timeout"/> seconds.</summary>
    public static async Task<DatabaseWay> CreateAsync(PostgresServer server, int timeout) => new(await TestDatabase.CreateAsync(server), server, timeout);

    /// <summary>
    /// Makes each call during the fault, and asserts that it is refused with a 503 that names the database. A flapping fault may let calls succeed, which
    /// are repeated until one is refused.
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

    /// <summary>Makes each call once during a fault that only slows down, and asserts that it succeeds.</summary>
    public async Task CarriesAsync(Fault fault, params Func<Task<HttpResponseMessage>>[] calls)
    {
        var scope = Faults.Start(fault);
        await scope.DuringAsync(async () =>
        {
            foreach (var call in calls)
            {
                await SucceedsOnceAsync(call);
            }
        });
        scope.Struck.ShouldBeGreaterThan(0);
    }

    /// <summary>
    /// Waits until the service has recovered, which the success of the first call shows. Each further call then has three attempts.
    /// </summary>
    public static async Task RecoversAsync(Func<Task<HttpResponseMessage>> first, params Func<Task<HttpResponseMessage>>[] others)
    {
        await Eventually.Async(() => SucceedsOnceAsync(first));
        foreach (var call in others)
        {
            for (var attempt = 1; !await SucceedsAsync(call); attempt++)
            {
                attempt.ShouldBeLessThan(AttemptsAfterRecovery, "the database is available again, and the call still fails");
            }
        }
    }

    /// <inheritdoc />
    public async ValueTask DisposeAsync()
    {
        await _proxy.DisposeAsync();
        await Database.DisposeAsync();
    }

    private static async Task SucceedsOnceAsync(Func<Task<HttpResponseMessage>> call)
    {
        using var response = await call().WaitAsync(Hanging);
        response.IsSuccessStatusCode.ShouldBeTrue($"{(int)response.StatusCode} {await response.Content.ReadAsStringAsync()}");
    }

    private static async Task<bool> SucceedsAsync(Func<Task<HttpResponseMessage>> call)
    {
        using var response = await call().WaitAsync(Hanging);
        if (response.IsSuccessStatusCode)
        {
            return true;
        }

        await response.ShouldSayThatTheDatabaseIsUnavailableAsync();
        return false;
    }
}
