using System.ComponentModel.DataAnnotations;

namespace Platform.ServiceDefaults.Postgres.Database;

/// <summary>Configuration <c>Database</c>. Values in the connection string take precedence.</summary>
public sealed class DatabaseOptions
{
    /// <summary>Maximum number of connections of this process. 25, so that three services fit into a server's default of 100.</summary>
    [Range(1, 1000)]
    public int MaxPoolSize { get; set; } = 25;

    /// <summary>Seconds to wait for a connection, new or from the pool. 1.</summary>
    [Range(1, 60)]
    public int ConnectTimeout { get; set; } = 1;

    /// <summary>Seconds a command may take. 5.</summary>
    [Range(1, 600)]
    public int CommandTimeout { get; set; } = 5;

    /// <summary>
    /// Seconds after which the server ends an idle transaction, whose process may be paused or cut off, so that its locks are released. 5: less than any lease, after which
    /// another process takes over the work and needs these locks.
    /// </summary>
    [Range(1, 600)]
    public int IdleTransactionTimeout { get; set; } = 5;

    /// <summary>
    /// Number of statements that each connection keeps prepared, from their second execution on, to save parsing and planning. 100; use 0 behind a pooler that doesn't support
    /// prepared statements.
    /// </summary>
    [Range(0, 10_000)]
    public int MaxAutoPrepare { get; set; } = 100;
}
