using System.Text.Json;
using Dapper;
using Npgsql;
using Platform.Drill.Systems;

namespace Platform.Drill.Checking;

internal sealed record BackendShop(Guid Id, string Slug, string Status, int Version, Guid? Release);

internal sealed record BackendDeployment(Guid Id, Guid ShopId, string Kind, string Status, Guid? Release);

internal sealed record BackendEvent(Guid DeploymentId, int Number, string Deployment);

internal sealed record DeployerDeployment(
    Guid Id, Guid ShopId, long Sequence, string Kind, string Status, Guid? Release, string? TemplateVersion, string Name, string? ErrorCode, long Failures);

internal sealed record DeployerStore(Guid ShopId, string Slug, Guid? ActiveRelease, bool TakenDown);

internal sealed record DeploymentChange(
    long Serial, DateTime At, Guid Id, Guid ShopId, long Sequence, string Kind, string? OldStatus, string Status, Guid? OldWorker, Guid? Worker, long? OldToken, long Token, int? OldLost, int Lost);

internal sealed record PointerMove(long Serial, DateTime At, Guid ShopId, long Sequence, Guid? Release, bool TakenDown, long Pages);

internal sealed record SentMessage(Guid Id, Guid PartitionKey, long Sequence, string Type, string Subject, string Data)
{
    public JsonElement Json => JsonSerializer.Deserialize<JsonElement>(Data);
}

/// <summary>The content of the databases after a schedule: the services' own tables, and the audit tables of the drill.</summary>
internal sealed class Tables
{
    public IReadOnlyList<BackendShop> Shops { get; private init; } = [];

    public IReadOnlyList<BackendDeployment> Accepted { get; private init; } = [];

    public IReadOnlyList<BackendEvent> Events { get; private init; } = [];

    public IReadOnlyList<DeployerDeployment> Deployments { get; private init; } = [];

    public IReadOnlyList<DeployerStore> Stores { get; private init; } = [];

    public IReadOnlyList<DeploymentChange> Changes { get; private init; } = [];

    public IReadOnlyList<PointerMove> Moves { get; private init; } = [];

    public IReadOnlyList<SentMessage> FromBackend { get; private init; } = [];

    public IReadOnlyList<SentMessage> FromDeployer { get; private init; } = [];

    public IReadOnlySet<string> TakenByBackend { get; private init; } = new HashSet<string>();

    public IReadOnlySet<string> TakenByDeployer { get; private init; } = new HashSet<string>();

    /// <summary>The shop's name and the template's version shown by each release.</summary>
    public IReadOnlyDictionary<Guid, (string Shop, string Version)> Releases { get; private init; } = new Dictionary<Guid, (string, string)>();

    public IReadOnlyDictionary<Guid, int> Processes { get; private init; } = new Dictionary<Guid, int>();

    /// <summary>Dead letters, missing files and the like, each as a sentence; there should be none.</summary>
    public IReadOnlyList<string> Anomalies { get; private init; } = [];

    public static async Task<Tables> ReadAsync(PlatformUnderDrill platform, CancellationToken cancellationToken)
    {
        await using var backend = await platform.BackendDb.OpenConnectionAsync(cancellationToken);
        await using var deployer = await platform.DeployerDb.OpenConnectionAsync(cancellationToken);
        const string Messages = "select id as Id, partition_key as PartitionKey, sequence as Sequence, type as Type, subject as Subject, data::text as Data from drill.messages order by sequence";
        var anomalies = new List<string>();
        foreach (var connection in new[] { backend, deployer })
        {
            anomalies.AddRange(await ListAsync<string>(connection,
                "select format('%s %s of key %s is a dead letter: %s', type, id, partition_key, last_error) from outbox where dead_at is not null"));
            anomalies.AddRange(await ListAsync<string>(connection,
                "select format('a handler failed %s times on message %s: %s', failures, id, last_error) from inbox_failures"));
        }

        anomalies.AddRange(await ListAsync<string>(deployer,
            "select format('release %s refers to %s, whose content is missing', r.release_id, r.path) from release_files r where not exists (select from files f where f.digest = r.digest) limit 5"));
        return new()
        {
            Anomalies = anomalies,
            Shops = await ListAsync<BackendShop>(backend, "select id as Id, slug as Slug, status as Status, version as Version, release as Release from shops"),
            Accepted = await ListAsync<BackendDeployment>(backend, "select id as Id, shop_id as ShopId, kind as Kind, status as Status, release as Release from deployments"),
            Events = await ListAsync<BackendEvent>(backend, "select deployment_id as DeploymentId, number as Number, deployment::text as Deployment from deployment_events order by deployment_id, number"),
            FromBackend = await ListAsync<SentMessage>(backend, Messages),
            TakenByBackend = (await ListAsync<string>(backend, "select id from inbox")).ToHashSet(),
            Deployments = await ListAsync<DeployerDeployment>(deployer,
                """
                select d.id as Id, d.shop_id as ShopId, d.sequence as Sequence, d.kind as Kind, d.status as Status, d.release as Release, d.template_version as TemplateVersion,
                  d.spec->>'name' as Name, d.error->>'code' as ErrorCode, (select coalesce(sum(s.failures), 0) from deployment_steps s where s.deployment_id = d.id) as Failures
                from deployments d order by d.sequence
                """),
            Stores = await ListAsync<DeployerStore>(deployer, "select shop_id as ShopId, slug as Slug, active_release as ActiveRelease, taken_down_at is not null as TakenDown from stores"),
            Changes = await ListAsync<DeploymentChange>(deployer,
                """
                select serial as Serial, at as At, id as Id, shop_id as ShopId, sequence as Sequence, kind as Kind, old_status as OldStatus, status as Status, old_worker as OldWorker,
                  worker as Worker, old_token as OldToken, token as Token, old_lost as OldLost, lost as Lost
                from drill.deployments order by serial
                """),
            Moves = await ListAsync<PointerMove>(deployer,
                "select serial as Serial, at as At, shop_id as ShopId, sequence as Sequence, release as Release, taken_down as TakenDown, pages as Pages from drill.pointers order by serial"),
            FromDeployer = await ListAsync<SentMessage>(deployer, Messages),
            TakenByDeployer = (await ListAsync<string>(deployer, "select id from inbox")).ToHashSet(),
            // Read from the messages, which also mention releases that were deleted since.
            Releases = (await ListAsync<(Guid Release, string Shop, string Version)>(deployer,
                """
                select (m.data->>'release')::uuid, d.spec->>'name', d.template_version
                from drill.messages m join deployments d on d.id = (m.data->>'deploymentId')::uuid
                where m.data->>'release' is not null and d.kind = 'deployment'
                """)).GroupBy(row => row.Release).ToDictionary(rows => rows.Key, rows => (rows.First().Shop, rows.First().Version)),
            Processes = (await ListAsync<(Guid Id, int ProcessId)>(deployer, "select id, process_id from drill.processes")).ToDictionary(row => row.Id, row => row.ProcessId),
        };

        async Task<IReadOnlyList<T>> ListAsync<T>(NpgsqlConnection connection, string sql) =>
            (await connection.QueryAsync<T>(new CommandDefinition(sql, cancellationToken: cancellationToken))).AsList();
    }
}
