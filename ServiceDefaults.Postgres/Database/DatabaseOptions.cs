using System.ComponentModel.DataAnnotations;

namespace Platform.ServiceDefaults.Postgres.Database;

/// <summary>Configuration <c>Database</c>. Values in the connection string win over these.</summary>
public sealed class DatabaseOptions
{
    /// <summary>Most connections this process holds. 25, so that a default server's 100 carry three services.</summary>
    [Range(1, 1000)]
    public int MaxPoolSize { get; set; } = 25;

    /// <summary>Seconds to wait for a connection, whether it is being made or the pool is empty. 1.</summary>
    [Range(1, 60)]
    public int ConnectTimeout { get; set; } = 1;

    /// <summary>Seconds a command may take. 5.</summary>
    [Range(1, 600)]
    public int CommandTimeout { get; set; } = 5;

    /// <summary>
    /// Seconds after which the server ends a transaction whose process sends nothing more, be it paused or cut off, so that nobody waits for its locks. 5: less than
    /// the leases, which are what takes over from such a process.
    /// </summary>
    [Range(1, 600)]
    public int IdleTransactionTimeout { get; set; } = 5;

    /// <summary>
    /// Statements that each connection keeps prepared once it has run them twice, so that the server does not parse and plan them again. 100; 0 for none, which a
    /// pooler in between may want.
    /// </summary>
    [Range(0, 10_000)]
    public int MaxAutoPrepare { get; set; } = 100;
}
