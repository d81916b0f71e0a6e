using System.Data;
using System.Net.Sockets;
using Microsoft.AspNetCore.Diagnostics;
using Platform.ServiceDefaults.Communication;
using Platform.ServiceDefaults.Problems;

namespace Platform.ServiceDefaults.Postgres.Database;

/// <summary>Answers 503 with <c>Retry-After</c> instead of 500 when the database is unavailable, out of resources or too slow.</summary>
public sealed partial class DatabaseProblems(Fallbacks fallbacks, ILogger<DatabaseProblems> logger) : IExceptionHandler
{
    internal static readonly Fallback Fallback = new(PostgresDatabase.Name, "requests", FallbackKind.FailClosed);

    // idle_in_transaction_session_timeout
    private const string IdleTransactionTimeout = "25P03";

    private static readonly TimeSpan RetryAfter = TimeSpan.FromSeconds(1);

    /// <summary>Whether the exception means that the database is unavailable, as opposed to an invalid statement.</summary>
    public static bool IsUnavailable(Exception exception) => exception switch
    {
        PostgresException postgres => IsUnavailable(postgres.SqlState),
        // Exceptions that Npgsql itself throws are about the connection, the pool or time-outs.
        NpgsqlException => true,
        SocketException => true,
        // The first connections of a process wait for one of them to load the server's types, and time out with this.
        TimeoutException => true,
        // Dapper wraps exceptions while reading a row.
        DataException { InnerException: { } inner } => IsUnavailable(inner),
        _ => false,
    };

    /// <summary>Whether an immediate retry on another connection may succeed: the connection was lost, the server restarts, or the transaction lost a conflict. Not for time-outs.</summary>
    internal static bool IsTransient(Exception exception) => exception switch
    {
        DatabaseUnavailableException => false,
        PostgresException postgres => postgres.SqlState.StartsWith("08", StringComparison.Ordinal) || postgres.SqlState.StartsWith("57P", StringComparison.Ordinal)
            || postgres.SqlState is PostgresErrorCodes.SerializationFailure or PostgresErrorCodes.DeadlockDetected,
        NpgsqlException => exception.InnerException is not TimeoutException,
        DataException { InnerException: { } inner } => IsTransient(inner),
        _ => false,
    };

    /// <summary>Whether the pool is exhausted, which says nothing about the database.</summary>
    internal static bool IsEmptyPool(Exception exception) =>
        exception is NpgsqlException { InnerException: TimeoutException } && exception.Message.Contains("pool has been exhausted", StringComparison.Ordinal);

    /// <inheritdoc />
    public async ValueTask<bool> TryHandleAsync(HttpContext httpContext, Exception exception, CancellationToken cancellationToken)
    {
        if (!IsUnavailable(exception))
        {
            return false;
        }

        var retryAfter = exception is DatabaseUnavailableException { RetryAfter: var said } && said > RetryAfter ? said : RetryAfter;
        fallbacks.Use(Fallback);
        LogUnavailable(logger, httpContext.Request.Path, exception.Message);
        httpContext.Response.Headers[CommunicationHeaders.ShouldRetry] = "false";
        await Problem.Unavailable("The database does not answer. Try again later.", retryAfter).ExecuteAsync(httpContext);
        return true;
    }

    private static bool IsUnavailable(string sqlState) =>
        // connection exceptions; resources, too many connections; operator intervention (shutdown, starting up); serialization and deadlock
        sqlState.StartsWith("08", StringComparison.Ordinal)
        || sqlState.StartsWith("53", StringComparison.Ordinal)
        || sqlState.StartsWith("57P", StringComparison.Ordinal)
        || sqlState is PostgresErrorCodes.QueryCanceled or PostgresErrorCodes.SerializationFailure or PostgresErrorCodes.DeadlockDetected
            or PostgresErrorCodes.LockNotAvailable or IdleTransactionTimeout or PostgresErrorCodes.ReadOnlySqlTransaction;

    [LoggerMessage(LogLevel.Warning, "The database is unavailable, so {Path} answers 503: {Reason}")]
    private static partial void LogUnavailable(ILogger logger, string path, string reason);
}
