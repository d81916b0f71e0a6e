using System.Globalization;
using Aspire.Hosting;
using Aspire.Hosting.ApplicationModel;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Npgsql;
using Platform.AppHost.Running;

namespace Platform.AppHost.Postgres;

/// <summary>A PostgreSQL server that runs as a process on this machine. Its data directory is kept when it stops.</summary>
internal sealed class LocalPostgresServerResource(string name, string command, string workingDirectory, ParameterResource password)
    : ExecutableResource(name, command, workingDirectory), IResourceWithConnectionString
{
    internal const string EndpointName = "tcp";

    public EndpointReference Endpoint => field ??= new(this, EndpointName);

    public ReferenceExpression ConnectionStringExpression => ReferenceExpression.Create(
        $"Host={Endpoint.Property(EndpointProperty.IPV4Host)};Port={Endpoint.Property(EndpointProperty.Port)};Username=postgres;Password={password}");
}

/// <summary>A database on a <see cref="LocalPostgresServerResource"/>, created when it does not exist.</summary>
internal sealed class LocalPostgresDatabaseResource(string name, string databaseName, LocalPostgresServerResource parent)
    : Resource(name), IResourceWithConnectionString, IResourceWithParent<LocalPostgresServerResource>
{
    public LocalPostgresServerResource Parent { get; } = parent;

    public ReferenceExpression ConnectionStringExpression => ReferenceExpression.Create($"{Parent};Database={databaseName}");
}

internal static class LocalPostgresExtensions
{
    /// <summary>Adds a PostgreSQL server that eng/postgres/serve runs, and that needs no container engine.</summary>
    /// <param name="port">Port on the loopback interface; one that is free when null.</param>
    public static IResourceBuilder<LocalPostgresServerResource> AddLocalPostgres(this IDistributedApplicationBuilder builder,
        string name, IResourceBuilder<ParameterResource> password, string dataDirectory, int? port = null)
    {
        var serve = Path.GetFullPath("../eng/postgres/serve", builder.AppHostDirectory);
        // Below the ephemeral port range, so that no outgoing connection takes the port while the server restarts.
        var listenOn = port ?? Enumerable.Range(24_000, 8_000).OrderBy(_ => Random.Shared.Next()).First(Ports.IsFree);
        var server = new LocalPostgresServerResource(name, serve, Path.GetDirectoryName(serve)!, password.Resource);

        // Not proxied: every statement of every service would otherwise pass through one more process.
        return builder.AddResource(server)
            .WithArgs(dataDirectory, listenOn.ToString(CultureInfo.InvariantCulture))
            .WithEndpoint(port: listenOn, targetPort: listenOn, scheme: "tcp", name: LocalPostgresServerResource.EndpointName, isProxied: false)
            .WithEnvironment("POSTGRES_PASSWORD", password)
            .WithConnectionCheck();
    }

    /// <summary>Adds a database, which is created once the server is ready.</summary>
    public static IResourceBuilder<LocalPostgresDatabaseResource> AddDatabase(this IResourceBuilder<LocalPostgresServerResource> server,
        string name, string databaseName)
    {
        var database = new LocalPostgresDatabaseResource(name, databaseName, server.Resource);
        server.OnResourceReady((resource, _, cancellationToken) => CreateDatabaseIfAbsentAsync(resource, databaseName, cancellationToken));
        return server.ApplicationBuilder.AddResource(database).OnInitializeResource(FollowServerAsync).WithConnectionCheck();
    }

    /// <summary>Mirrors the server's state to the database resource. Aspire does this by itself only for containers.</summary>
    private static async Task FollowServerAsync(LocalPostgresDatabaseResource database, InitializeResourceEvent initialize, CancellationToken cancellationToken)
    {
        await foreach (var change in initialize.Notifications.WatchAsync(cancellationToken))
        {
            if (change.Resource == database.Parent)
            {
                await initialize.Notifications.PublishUpdateAsync(database, snapshot => snapshot with
                {
                    State = change.Snapshot.State,
                    StartTimeStamp = change.Snapshot.StartTimeStamp,
                    StopTimeStamp = change.Snapshot.StopTimeStamp,
                });
            }
        }
    }

    private static async Task CreateDatabaseIfAbsentAsync(LocalPostgresServerResource server, string databaseName, CancellationToken cancellationToken)
    {
        await using var dataSource = NpgsqlDataSource.Create(await ConnectionStringAsync(server, cancellationToken));
        await using var create = dataSource.CreateCommand($"CREATE DATABASE {new NpgsqlCommandBuilder().QuoteIdentifier(databaseName)}");
        try
        {
            await create.ExecuteNonQueryAsync(cancellationToken);
        }
        catch (PostgresException e) when (e.SqlState == PostgresErrorCodes.DuplicateDatabase)
        {
            // Not the first start on this data directory.
        }
    }

    private static IResourceBuilder<T> WithConnectionCheck<T>(this IResourceBuilder<T> resource) where T : IResourceWithConnectionString
    {
        var key = $"{resource.Resource.Name}_connection";
        resource.ApplicationBuilder.Services.AddHealthChecks()
            .Add(new HealthCheckRegistration(key, _ => new ConnectionCheck(resource.Resource), HealthStatus.Unhealthy, tags: null));
        return resource.WithHealthCheck(key);
    }

    private static async Task<string> ConnectionStringAsync(IResourceWithConnectionString resource, CancellationToken cancellationToken) =>
        // Not pooled: an idle connection would delay the server's shutdown.
        $"{await resource.GetConnectionStringAsync(cancellationToken)};Pooling=false;Timeout=2;Command Timeout=2";

    /// <summary>
    /// Connects, retrying for up to 4 s: the server starts within tenths of a second, but Aspire repeats a failed check only after a second or more.
    /// </summary>
    private sealed class ConnectionCheck(IResourceWithConnectionString resource) : IHealthCheck
    {
        private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(4);
        private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(50);

        public async Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default)
        {
            var started = TimeProvider.System.GetTimestamp();
            while (true)
            {
                try
                {
                    await using var connection = new NpgsqlConnection(await ConnectionStringAsync(resource, cancellationToken));
                    await connection.OpenAsync(cancellationToken);
                    return HealthCheckResult.Healthy();
                }
                catch (NpgsqlException e)
                {
                    if (TimeProvider.System.GetElapsedTime(started) > Timeout)
                    {
                        return HealthCheckResult.Unhealthy($"{resource.Name} cannot be reached: {e.Message}", e);
                    }
                }

                await Task.Delay(Pause, cancellationToken);
            }
        }
    }
}
