using System.Net;
using Dapper;
using Npgsql;
using Platform.Drill.Planning;
using Platform.Drill.Running;
using Platform.TestSupport;

namespace Platform.Drill.Systems;

/// <summary>The whole platform as processes on one real PostgreSQL, with proxies between all of them and short leases.</summary>
internal sealed class PlatformUnderDrill : IAsyncDisposable
{
    public const int Backends = 2;
    public const int Deployers = 3;

    /// <summary>The key that clients use.</summary>
    public const string AdminKey = "drill-admin";

    private const string User = "platform";
    private const string Token = "drill";
    private const int UserConnections = 70;

    // The same as in ProcessSession.
    private const int LockClass = 0x6465706C;

    private static readonly TimeSpan StartLimit = TimeSpan.FromSeconds(60);

    // Children are deleted before parents. Audit tables are emptied too; templates are kept.
    private const string ForgetDeployer = """
        update stores set active_release = null;
        truncate drill.deployments, drill.pointers, drill.messages, outbox, inbox, inbox_sequences, inbox_failures;
        delete from releases; delete from deployments; delete from stores; delete from outbox_keys;
        """;

    private const string ForgetBackend = """
        truncate drill.deployments, drill.messages, outbox, inbox, inbox_sequences, inbox_failures, idempotency_keys;
        delete from deployments; delete from shops; delete from outbox_keys;
        """;

    private readonly PostgresServer _postgres = new();
    private readonly string _folder = Directory.CreateTempSubdirectory("platform-drill-").FullName;
    private readonly List<DrilledService> _processes = [];

    private readonly string? _otherVersion;

    private PlatformUnderDrill(string? otherVersion) => _otherVersion = otherVersion;

    public IReadOnlyList<DrilledService> Processes => _processes;

    /// <summary>Held by the fault that stops PostgreSQL or uses up its connections.</summary>
    public SemaphoreSlim PostgresVictim { get; } = new(1);

    /// <summary>For the checks: bypasses the proxies and the services' connection limit.</summary>
    public NpgsqlDataSource BackendDb { get; private set; } = null!;

    /// <summary>Like <see cref="BackendDb"/>.</summary>
    public NpgsqlDataSource DeployerDb { get; private set; } = null!;

    public IEnumerable<DrilledService> Of(Role role) => _processes.Where(process => process.Role == role);

    /// <summary>Starts all processes: of this version, or of the other version's checkout, from which this version can be rolled out.</summary>
    public static async Task<PlatformUnderDrill> StartAsync(string? otherVersion, CancellationToken cancellationToken)
    {
        var platform = new PlatformUnderDrill(otherVersion);
        try
        {
            await platform.StartAllAsync(cancellationToken);
            return platform;
        }
        catch
        {
            await platform.DisposeAsync();
            throw;
        }
    }

    /// <summary>
    /// Restarts everything that faults have stopped, and waits until all processes are ready and hold the advisory lock of their session. A process that has not yet noticed
    /// that its session is lost would lose its claims during the next schedule, because of a fault of this one.
    /// </summary>
    public async Task HealAsync(CancellationToken cancellationToken)
    {
        await _postgres.StartAsync(cancellationToken);
        foreach (var process in _processes)
            process.Start();
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(StartLimit);
        await Task.WhenAll(_processes.Select(process => process.ReadyAsync(limit.Token)));
        foreach (var (database, role) in ((NpgsqlDataSource, Role)[])[(BackendDb, Role.Backend), (DeployerDb, Role.Deployer)])
        {
            while (!await AreAliveAsync(database, role, limit.Token))
                await Task.Delay(10, limit.Token);
        }
    }

    /// <summary>Replaces all processes by the other version as in a rolling update: the processes of each service one after the other, all services concurrently.</summary>
    public Task RollOutAsync(History history, CancellationToken cancellationToken) =>
        Task.WhenAll(_processes.GroupBy(process => process.Role).Select(async service =>
        {
            foreach (var process in service)
            {
                history.Outages.Enqueue((process.Name, DateTimeOffset.UtcNow, Back: false));
                await process.StopAsync(cancellationToken);
                process.Repository = process.Repository == RepositoryRoot.Path ? _otherVersion! : RepositoryRoot.Path;
                process.Start();
                await process.ReadyAsync(cancellationToken);
                history.Outages.Enqueue((process.Name, DateTimeOffset.UtcNow, Back: true));
            }
        }));

    /// <summary>Deletes everything that a schedule has left in the databases, except for templates.</summary>
    public async Task ForgetAsync(CancellationToken cancellationToken)
    {
        foreach (var (database, sql) in ((NpgsqlDataSource, string)[])[(BackendDb, ForgetBackend), (DeployerDb, ForgetDeployer)])
        {
            await using var connection = await database.OpenConnectionAsync(cancellationToken);
            for (var attempt = 1; ; attempt++)
            {
                try
                {
                    await connection.ExecuteAsync(new CommandDefinition(sql, cancellationToken: cancellationToken));
                    break;
                }
                catch (PostgresException e) when (e.SqlState is PostgresErrorCodes.DeadlockDetected && attempt < 5)
                {
                    // A service locked the same tables in another order.
                }
            }
        }

        foreach (var process in _processes)
            process.ForgetLog();
    }

    public async Task StopPostgresHardAsync(TimeSpan downtime, CancellationToken cancellationToken)
    {
        await _postgres.KillAsync(cancellationToken);
        // The pools don't know that their connections are broken.
        BackendDb.Clear();
        DeployerDb.Clear();
        await Task.Delay(downtime, cancellationToken);
        await _postgres.StartAsync(cancellationToken);
    }

    /// <summary>Opens all connections that the services may have, terminating those that they have, and holds them for a while.</summary>
    /// <returns>How many of the connections were refused because the limit was reached.</returns>
    public async Task<int> UseUpConnectionsAsync(TimeSpan lasts, CancellationToken cancellationToken)
    {
        var held = new List<NpgsqlConnection>();
        try
        {
            var refused = await TakeAsync(UserConnections);
            await BreakConnectionsAsync(cancellationToken);
            refused += await TakeAsync(UserConnections / 2);
            await Task.Delay(lasts, cancellationToken);
            return refused;
        }
        finally
        {
            foreach (var connection in held)
                await connection.DisposeAsync();
        }

        async Task<int> TakeAsync(int count)
        {
            var taken = await Task.WhenAll(Enumerable.Range(0, count).Select(async _ =>
            {
                var connection = new NpgsqlConnection(Connection("postgres", _postgres.Port) + ";Pooling=false;Application Name=storm;Timeout=5");
                try
                {
                    await connection.OpenAsync(cancellationToken);
                    return connection;
                }
                catch (Exception exception) when (exception is NpgsqlException or TimeoutException)
                {
                    await connection.DisposeAsync();
                    return null;
                }
            }));
            held.AddRange(taken.OfType<NpgsqlConnection>());
            return taken.Count(connection => connection is null);
        }
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var process in _processes)
            await process.DisposeAsync();
        await (BackendDb?.DisposeAsync() ?? ValueTask.CompletedTask);
        await (DeployerDb?.DisposeAsync() ?? ValueTask.CompletedTask);
        await _postgres.DisposeAsync();
        PostgresVictim.Dispose();
        try
        {
            Directory.Delete(_folder, recursive: true);
        }
        catch (IOException)
        {
            // Files were still being written.
        }
    }

    private async Task<bool> AreAliveAsync(NpgsqlDataSource database, Role role, CancellationToken cancellationToken)
    {
        try
        {
            await using var connection = await database.OpenConnectionAsync(cancellationToken);
            var alive = await connection.QueryAsync<int>(new CommandDefinition(
                """
                select p.process_id from processes p
                join pg_locks l on l.locktype = 'advisory' and l.granted and l.classid = @LockClass::oid and l.objid = p.lock_key::oid
                  and l.database = (select oid from pg_database where datname = current_database())
                """, new { LockClass }, cancellationToken: cancellationToken));
            return Of(role).All(process => alive.Contains(process.ProcessId));
        }
        catch (NpgsqlException)
        {
            // A pooled connection from before PostgreSQL was stopped.
            return false;
        }
    }

    private async Task BreakConnectionsAsync(CancellationToken cancellationToken)
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                await using var connection = await BackendDb.OpenConnectionAsync(cancellationToken);
                await connection.ExecuteAsync(new CommandDefinition(
                    "select pg_terminate_backend(pid) from pg_stat_activity where usename = @User and application_name <> 'storm'", new { User }, cancellationToken: cancellationToken));
                return;
            }
            catch (NpgsqlException) when (attempt < 5)
            {
                // A pooled connection from before PostgreSQL was stopped.
                BackendDb.Clear();
            }
        }
    }

    private async Task StartAllAsync(CancellationToken cancellationToken)
    {
        await _postgres.StartAsync(cancellationToken);
        await using (var admin = new NpgsqlConnection(_postgres.ConnectionStringTo("postgres") + ";Pooling=false"))
        {
            await admin.OpenAsync(cancellationToken);
            // Fewer SCRAM iterations make authentication cheaper: the drill opens thousands of connections.
            await admin.ExecuteAsync($"set scram_iterations = 1; create role {User} login password '{User}' connection limit {UserConnections}");
            foreach (var database in (string[])["backend", "deployer", "registry"])
                await admin.ExecuteAsync($"create database {database} owner {User}");
        }

        BackendDb = NpgsqlDataSource.Create(_postgres.ConnectionStringTo("backend") + ";Maximum Pool Size=5;Timeout=15");
        DeployerDb = NpgsqlDataSource.Create(_postgres.ConnectionStringTo("deployer") + ";Maximum Pool Size=5;Timeout=15");

        Add(Role.Registry, 1, "TemplateRegistry");
        Add(Role.Backend, Backends, "Backend");
        Add(Role.Deployer, Deployers, "StoreDeployer");
        await HealAsync(cancellationToken);
        await ExecuteAsync(BackendDb, "Audit.backend.sql", cancellationToken);
        await ExecuteAsync(DeployerDb, "Audit.deployer.sql", cancellationToken);
        await PublishTemplatesAsync(cancellationToken);
    }

    private void Add(Role role, int count, string service)
    {
        for (var index = 0; index < count; index++)
        {
            DrilledService added = null!;
            added = new DrilledService(role, index, service, Path.Combine(_folder, $"{service}-{index}"), _postgres.Port) { Settings = () => EnvironmentOf(added), Repository = _otherVersion ?? RepositoryRoot.Path };
            _processes.Add(added);
        }
    }

    private Dictionary<string, string> EnvironmentOf(DrilledService process)
    {
        var environment = new Dictionary<string, string>
        {
            ["DOTNET_ENVIRONMENT"] = "Production",
            // Processes live too briefly to benefit from dynamic PGO.
            ["DOTNET_TieredPGO"] = "0",
            ["DOTNET_EnableDiagnostics"] = "0",
            ["DOTNET_gcServer"] = "0",
            ["DOTNET_GCgen0size"] = "0x4000000",
            ["Logging__Console__FormatterName"] = "simple",
            ["InternalToken"] = Token,
            ["AdminKey"] = AdminKey,
            ["Shutdown__DrainDelay"] = "00:00:00",
            ["Admission__RatePerSecond"] = "100000",
            ["Admission__Burst"] = "100000",
            ["Database__MaxPoolSize"] = "12",
            ["Database__IdleTransactionTimeout"] = "1",
            ["Idempotency__Claim"] = "00:00:01",
            ["Messaging__Lease"] = "00:00:01.5",
            ["Messaging__SendTimeout"] = "00:00:00.75",
            ["Messaging__PollInterval"] = "00:00:00.25",
            ["Messaging__MaxBackoff"] = "00:00:00.4",
            ["Services__database__CircuitBreaker__BreakDuration"] = "00:00:00.5",
        };
        switch (process.Role)
        {
            case Role.Registry:
                Connect("registry-db", "registry");
                break;
            case Role.Backend:
                Connect("backend-db", "backend");
                environment["Templates__AskAgainAfter"] = "00:00:00.3";
                environment["Templates__Patience"] = "00:00:00.3";
                Refer("template-registry", Role.Registry);
                Refer("store-deployer", Role.Deployer);
                break;
            case Role.Deployer:
                Connect("deployer-db", "deployer");
                environment["Deployments__Lease"] = "00:00:01.5";
                environment["Deployments__LeaseRenewal"] = "00:00:00.25";
                environment["Deployments__OrphanCheck"] = "00:00:00.2";
                environment["Deployments__PollInterval"] = "00:00:00.25";
                environment["Deployments__MaxBackOff"] = "00:00:00.4";
                environment["Stores__PollInterval"] = "00:00:00.25";
                environment["Stores__RetainedReleases"] = "3";
                environment["Stores__CollectInterval"] = "00:00:00.4";
                environment["Stores__CacheDirectory"] = process.CacheDirectory;
                Refer("template-registry", Role.Registry);
                Refer("backend", Role.Backend);
                break;
        }

        return environment;

        void Connect(string name, string database) => environment[$"ConnectionStrings__{name}"] = Connection(database, process.Database.Port);

        void Refer(string service, Role role)
        {
            foreach (var target in Of(role))
                environment[$"services__{service}__http__{target.Index}"] = $"http://127.0.0.1:{target.Inner.Port}";
            environment[$"Services__{service}__CircuitBreaker__BreakDuration"] = "00:00:00.5";
            environment[$"Services__{service}__AttemptTimeout"] = "00:00:01";
        }
    }

    private static string Connection(string database, int port) => new NpgsqlConnectionStringBuilder
    {
        Host = "127.0.0.1",
        Port = port,
        Username = User,
        Password = User,
        Database = database,
    }.ConnectionString;

    private static async Task ExecuteAsync(NpgsqlDataSource database, string script, CancellationToken cancellationToken)
    {
        await using var stream = typeof(PlatformUnderDrill).Assembly.GetManifestResourceStream($"{typeof(PlatformUnderDrill).Namespace}.{script}")!;
        using var reader = new StreamReader(stream);
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        await connection.ExecuteAsync(new CommandDefinition(await reader.ReadToEndAsync(cancellationToken), cancellationToken: cancellationToken));
    }

    private async Task PublishTemplatesAsync(CancellationToken cancellationToken)
    {
        using var http = new HttpClient();
        foreach (var version in DrillTemplate.AllVersions)
        {
            using var bundle = new ByteArrayContent(DrillTemplate.Bundle(version));
            bundle.Headers.ContentType = new("application/zip");
            using var request = new HttpRequestMessage(HttpMethod.Put, $"http://127.0.0.1:{Of(Role.Registry).Single().Port}/templates/{DrillTemplate.Name}/versions/{version}") { Content = bundle };
            request.Headers.Add("X-Internal-Token", Token);
            using var response = await http.SendAsync(request, cancellationToken);
            if (response.StatusCode is not (HttpStatusCode.Created or HttpStatusCode.OK))
                throw new InvalidOperationException($"The template was refused: {(int)response.StatusCode} {await response.Content.ReadAsStringAsync(cancellationToken)}");
        }
    }
}
