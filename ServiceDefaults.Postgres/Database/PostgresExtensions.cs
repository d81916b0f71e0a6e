using System.Reflection;
using System.Runtime.CompilerServices;
using Microsoft.Extensions.Configuration.Memory;
using Microsoft.Extensions.DependencyInjection.Extensions;
using OpenTelemetry.Trace;
using Platform.ServiceDefaults.Communication;
using Platform.ServiceDefaults.Health;
using Platform.ServiceDefaults.Postgres.Idempotency;
using Platform.ServiceDefaults.Security;

namespace Platform.ServiceDefaults.Postgres.Database;

/// <summary>Registers the service's database.</summary>
public static class PostgresExtensions
{
    /// <summary>
    /// Adds the <see cref="NpgsqlDataSource"/> of <c>ConnectionStrings:<paramref name="connectionName"/></c>, the <see cref="PostgresDatabase"/> as dependency <c>database</c>, the
    /// readiness gate <c>migrations</c>, idempotency keys, and the migrations of this package and those embedded in <paramref name="migrations"/> (default: the calling assembly) as
    /// <c>Database/Migrations/NNNN_name.sql</c>.
    /// </summary>
    /// <param name="builder">The service's builder.</param>
    /// <param name="connectionName">The name of the connection string.</param>
    /// <param name="migrations">The assembly that contains the service's migrations.</param>
    /// <param name="required">False if the service can serve something without its database: <c>/health</c> is then <c>degraded</c> rather than <c>unhealthy</c>.</param>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public static TBuilder AddPostgres<TBuilder>(this TBuilder builder, string connectionName, Assembly? migrations = null, bool required = true) where TBuilder : IHostApplicationBuilder
    {
        migrations ??= Assembly.GetCallingAssembly();
        var services = builder.Services;
        // Lowest precedence. A line per statement would only hide what matters.
        builder.Configuration.Sources.Insert(0, new MemoryConfigurationSource { InitialData = [new("Logging:LogLevel:Npgsql", "Warning")] });
        services.AddOptions<DatabaseOptions>().Bind(builder.Configuration.GetSection("Database")).ValidateDataAnnotations().ValidateOnStart();
        services.RequireSecret(
            configuration => HasCredentials(configuration.GetConnectionString(connectionName)),
            $"The password of the database is missing: give ConnectionStrings:{connectionName} a Password, a Passfile or an SSL Certificate.");
        services.TryAddSingleton(TimeProvider.System);
        services.ConfigureOpenTelemetryTracerProvider(tracing => tracing.AddNpgsql().AddProcessor<RootStatementFilter>());
        // Nobody changes the state of pooled sessions, so a rollback on return is enough. Resetting takes three statements per use, a sixth of the server's work.
        services.AddSingleton(provider => CreateDataSource(provider, connectionName, pool => pool.ConnectionStringBuilder.NoResetOnClose = true));
        services.AddKeyedSingleton(PostgresDatabase.Sessions, (provider, _) => CreateDataSource(provider, connectionName, session => session.ConnectionStringBuilder.Pooling = false));
        // Unpooled: the pool may be full of dead connections.
        services.AddKeyedSingleton(PostgresDatabase.Probe, (provider, _) => CreateDataSource(provider, connectionName, probe =>
        {
            probe.ConnectionStringBuilder.Pooling = false;
            probe.ConnectionStringBuilder.Timeout = probe.ConnectionStringBuilder.CommandTimeout = 1;
            probe.ConfigureTypeLoading(types => types.EnableTypeLoading(false));
        }));

        var gate = services.AddReadinessGate("migrations");
        services.AddSingleton(provider => ActivatorUtilities.CreateInstance<DatabaseMigrations>(
            provider, gate, new[] { typeof(PostgresExtensions).Assembly, migrations }.Distinct().ToArray()));
        services.AddHostedService(provider => provider.GetRequiredService<DatabaseMigrations>());
        services.AddSingleton<Signals>();
        services.AddHostedService(provider => provider.GetRequiredService<Signals>());
        services.AddSingleton<PostgresDatabase>();
        services.AddDestination(PostgresDatabase.Name, (provider, cancellationToken) => provider.GetRequiredService<PostgresDatabase>().FindErrorAsync(cancellationToken), probeIsUse: true, required);
        services.AddExceptionHandler<DatabaseProblems>();
        services.AddFallback(DatabaseProblems.Fallback);
        builder.AddIdempotency();
        services.AddSingleton<Cleanup>();
        services.AddHostedService(provider => provider.GetRequiredService<Cleanup>());
        return builder;
    }

    /// <summary>Registers this process in the database by a <see cref="ProcessSession"/>, so that its claims are released as soon as it is killed.</summary>
    public static IServiceCollection AddProcessSession(this IServiceCollection services)
    {
        if (services.Any(service => service.ServiceType == typeof(ProcessSession)))
        {
            return services;
        }

        services.AddSingleton<ProcessSession>();
        services.AddHostedService(provider => provider.GetRequiredService<ProcessSession>());
        return services.AddSingleton<ForgetDeadProcesses>();
    }

    private static bool HasCredentials(string? connectionString) =>
        new NpgsqlConnectionStringBuilder(connectionString) is var given
        && !(string.IsNullOrEmpty(given.Password) && string.IsNullOrEmpty(given.Passfile) && string.IsNullOrEmpty(given.SslCertificate));

    private static NpgsqlDataSource CreateDataSource(IServiceProvider provider, string connectionName, Action<NpgsqlDataSourceBuilder> configure)
    {
        var connectionString = provider.GetRequiredService<IConfiguration>().GetConnectionString(connectionName);
        if (string.IsNullOrWhiteSpace(connectionString))
        {
            throw new InvalidOperationException(
                $"The connection string '{connectionName}' is missing: set ConnectionStrings:{connectionName} (environment variable ConnectionStrings__{connectionName}).");
        }

        var options = provider.GetRequiredService<IOptions<DatabaseOptions>>().Value;
        var effective = new NpgsqlConnectionStringBuilder(connectionString);
        SetUnlessGiven("Maximum Pool Size", options.MaxPoolSize);
        SetUnlessGiven("Timeout", options.ConnectTimeout);
        SetUnlessGiven("Command Timeout", options.CommandTimeout);
        // A cut-off server never answers a cancellation, so wait for it no longer than for a connection.
        SetUnlessGiven("Cancellation Timeout", options.ConnectTimeout * 1000);
        SetUnlessGiven("Options", $"-c idle_in_transaction_session_timeout={options.IdleTransactionTimeout}s");
        SetUnlessGiven("Max Auto Prepare", options.MaxAutoPrepare);
        SetUnlessGiven("Auto Prepare Min Usages", 2);
        SetUnlessGiven("Application Name", provider.GetRequiredService<IHostEnvironment>().ApplicationName);
        var builder = new NpgsqlDataSourceBuilder(effective.ConnectionString);
        builder.UseLoggerFactory(provider.GetRequiredService<ILoggerFactory>());
        configure(builder);
        return builder.Build();

        void SetUnlessGiven(string keyword, object value)
        {
            if (!effective.Keys.Contains(keyword, StringComparer.OrdinalIgnoreCase))
            {
                effective[keyword] = value;
            }
        }
    }
}
