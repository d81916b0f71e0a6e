using System.Reflection;
using System.Security.Cryptography;
using System.Text;
using System.Text.RegularExpressions;
using Dapper;
using Platform.ServiceDefaults.Health;

namespace Platform.ServiceDefaults.Postgres.Database;

/// <summary>Migrates the database to this build's schema at start, retrying until the database is available. Only one process at a time does so.</summary>
public sealed partial class DatabaseMigrations(
    [FromKeyedServices(PostgresDatabase.Sessions)] NpgsqlDataSource sessions, ReadinessGate gate, Assembly[] assemblies, TimeProvider time, ILogger<DatabaseMigrations> logger) : BackgroundService
{
    // Any number that nothing else in the database uses.
    private const long AdvisoryLock = 0x706C6174666F726D;

    private static readonly TimeSpan MaxDelay = TimeSpan.FromSeconds(2);

    /// <summary>Completes once the migrations are applied. Background services wait for it before their first statement.</summary>
    public Task WaitAsync(CancellationToken cancellationToken) => gate.WaitAsync(cancellationToken);

    /// <inheritdoc />
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        var migrations = assemblies.SelectMany(Read).ToList();
        var delay = TimeSpan.FromMilliseconds(50);
        while (true)
        {
            try
            {
                await ApplyAsync(migrations, stoppingToken);
                await WarnAboutDurabilityAsync(stoppingToken);
                gate.MarkReady();
                return;
            }
            catch (Exception exception) when (DatabaseProblems.IsUnavailable(exception) && !stoppingToken.IsCancellationRequested)
            {
                LogWaiting(logger, delay.TotalMilliseconds, exception.Message);
                await Task.Delay(delay, time, stoppingToken);
                delay = delay * 2 > MaxDelay ? MaxDelay : delay * 2;
            }
        }
    }

    private async Task ApplyAsync(List<Migration> migrations, CancellationToken cancellationToken)
    {
        await using var connection = await sessions.OpenConnectionAsync(cancellationToken);
        await using var transaction = await connection.BeginTransactionAsync(cancellationToken);
        // Replicas start at the same time. The lock ends with the transaction, so a killed process can't leave it behind.
        await connection.ExecuteAsync(new CommandDefinition(
            """
            set local statement_timeout = 0;
            select pg_advisory_xact_lock(@AdvisoryLock);
            create table if not exists schema_migrations (
              component  text        not null,
              version    int         not null,
              name       text        not null,
              checksum   text        not null,
              applied_at timestamptz not null default now(),
              primary key (component, version));
            """, new { AdvisoryLock }, transaction, commandTimeout: 0, cancellationToken: cancellationToken));

        var applied = (await connection.QueryAsync<(string Component, int Version, string Name, string Checksum)>(new CommandDefinition(
            "select component, version, name, checksum from schema_migrations", transaction: transaction, cancellationToken: cancellationToken)))
            .ToDictionary(row => (row.Component, row.Version));

        foreach (var migration in migrations)
        {
            if (applied.TryGetValue((migration.Component, migration.Version), out var existing))
            {
                if (existing.Checksum != migration.Checksum)
                {
                    throw new InvalidOperationException(
                        $"Migration {migration.Component}/{migration.Version:0000}_{migration.Name} was changed after it was applied. Add a new migration instead.");
                }

                continue;
            }

            await connection.ExecuteAsync(new CommandDefinition(migration.Sql, transaction: transaction, commandTimeout: 0, cancellationToken: cancellationToken));
            await connection.ExecuteAsync(new CommandDefinition(
                "insert into schema_migrations (component, version, name, checksum) values (@Component, @Version, @Name, @Checksum)",
                new { migration.Component, migration.Version, migration.Name, migration.Checksum }, transaction, cancellationToken: cancellationToken));
            LogApplied(logger, migration.Component, migration.Version, migration.Name);
        }

        await transaction.CommitAsync(cancellationToken);
    }

    private async Task WarnAboutDurabilityAsync(CancellationToken cancellationToken)
    {
        await using var connection = await sessions.OpenConnectionAsync(cancellationToken);
        foreach (var setting in await connection.QueryAsync<string>(new CommandDefinition(
            "select name from pg_settings where name in ('fsync', 'synchronous_commit') and setting = 'off'", cancellationToken: cancellationToken)))
        {
            LogNotDurable(logger, setting);
        }
    }

    private static IEnumerable<Migration> Read(Assembly assembly)
    {
        var component = assembly.GetName().Name!;
        var migrations = new SortedDictionary<int, Migration>();
        foreach (var resource in assembly.GetManifestResourceNames())
        {
            if (ResourceName().Match(resource) is not { Success: true } match)
            {
                continue;
            }

            using var reader = new StreamReader(assembly.GetManifestResourceStream(resource)!, Encoding.UTF8);
            var sql = reader.ReadToEnd().ReplaceLineEndings("\n");
            var version = int.Parse(match.Groups["version"].ValueSpan, System.Globalization.CultureInfo.InvariantCulture);
            var migration = new Migration(component, version, match.Groups["name"].Value, sql, Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(sql))));
            if (!migrations.TryAdd(version, migration))
            {
                throw new InvalidOperationException($"{component} has two migrations numbered {version:0000}.");
            }
        }

        return migrations.Values;
    }

    [GeneratedRegex(@"\.Migrations\.(?<version>\d{4})_(?<name>[^.]+)\.sql$", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1000)]
    private static partial Regex ResourceName();

    [LoggerMessage(LogLevel.Information, "Applied migration {Component}/{Version:0000}_{Name}")]
    private static partial void LogApplied(ILogger logger, string component, int version, string name);

    [LoggerMessage(LogLevel.Warning, "The database is not available yet, trying again in {DelayMs} ms: {Reason}")]
    private static partial void LogWaiting(ILogger logger, double delayMs, string reason);

    [LoggerMessage(LogLevel.Error, "PostgreSQL runs with {Setting} = off: committed data may be LOST when the machine or the server crashes. Turn it on")]
    private static partial void LogNotDurable(ILogger logger, string setting);

    private sealed record Migration(string Component, int Version, string Name, string Sql, string Checksum);
}
