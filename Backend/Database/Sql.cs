using System.Text.Json;
using Npgsql;
using NpgsqlTypes;
using Platform.ServiceDefaults;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.Backend.Database;

/// <summary>Short forms for commands with positional parameters, and for reading rows.</summary>
internal static class Sql
{
    public static NpgsqlCommand Command(this NpgsqlConnection connection, string sql, params ReadOnlySpan<object?> parameters)
    {
        var command = new NpgsqlCommand(sql, connection);
        Add(command.Parameters, parameters);
        return command;
    }

    public static NpgsqlCommand Command(this NpgsqlTransaction transaction, string sql, params ReadOnlySpan<object?> parameters)
    {
        var command = new NpgsqlCommand(sql, transaction.Connection, transaction);
        Add(command.Parameters, parameters);
        return command;
    }

    public static NpgsqlBatchCommand BatchCommand(string sql, params ReadOnlySpan<object?> parameters)
    {
        var command = new NpgsqlBatchCommand(sql);
        Add(command.Parameters, parameters);
        return command;
    }

    /// <summary>The first row of a query, or null if there is none. Transient failures are retried, see <see cref="PostgresDatabase.ReadAsync"/>.</summary>
    public static Task<T?> FindAsync<T>(
        this PostgresDatabase database, string sql, object?[] parameters, Func<NpgsqlDataReader, T> read, CancellationToken cancellationToken) where T : class =>
        database.ReadAsync(async connection =>
        {
            await using var command = connection.Command(sql, parameters);
            return await command.FindAsync(read, cancellationToken);
        }, cancellationToken);

    /// <summary>All rows of a query. Transient failures are retried, see <see cref="PostgresDatabase.ReadAsync"/>.</summary>
    public static Task<List<T>> ListAsync<T>(
        this PostgresDatabase database, string sql, object?[] parameters, Func<NpgsqlDataReader, T> read, CancellationToken cancellationToken) =>
        database.ReadAsync(async connection =>
        {
            await using var command = connection.Command(sql, parameters);
            await using var reader = await command.ExecuteReaderAsync(cancellationToken);
            return await reader.ListAsync(read, cancellationToken);
        }, cancellationToken);

    /// <summary>The first row that a command returns, or null if there is none.</summary>
    public static async Task<T?> FindAsync<T>(this NpgsqlCommand command, Func<NpgsqlDataReader, T> read, CancellationToken cancellationToken) where T : class
    {
        await using var reader = await command.ExecuteReaderAsync(cancellationToken);
        return await reader.ReadAsync(cancellationToken) ? read(reader) : null;
    }

    /// <summary>The remaining rows of a result.</summary>
    public static async Task<List<T>> ListAsync<T>(this NpgsqlDataReader reader, Func<NpgsqlDataReader, T> read, CancellationToken cancellationToken)
    {
        var rows = new List<T>();
        while (await reader.ReadAsync(cancellationToken))
            rows.Add(read(reader));
        return rows;
    }

    /// <summary>A parameter for a json or jsonb column.</summary>
    public static NpgsqlParameter Json<T>(T value) =>
        new() { Value = value is null ? DBNull.Value : JsonSerializer.Serialize(value, PlatformJson.Tolerant), NpgsqlDbType = NpgsqlDbType.Jsonb };

    /// <summary>Reads a json or jsonb column that is not null.</summary>
    public static T GetJson<T>(this NpgsqlDataReader reader, int ordinal) =>
        JsonSerializer.Deserialize<T>(reader.GetString(ordinal), PlatformJson.Tolerant)
        ?? throw new InvalidOperationException($"Column {reader.GetName(ordinal)} holds a JSON null.");

    public static T? GetNullable<T>(this NpgsqlDataReader reader, int ordinal) where T : struct =>
        reader.IsDBNull(ordinal) ? null : reader.GetFieldValue<T>(ordinal);

    public static string? GetNullableString(this NpgsqlDataReader reader, int ordinal) => reader.IsDBNull(ordinal) ? null : reader.GetString(ordinal);

    private static void Add(NpgsqlParameterCollection collection, ReadOnlySpan<object?> parameters)
    {
        foreach (var parameter in parameters)
            collection.Add(parameter as NpgsqlParameter ?? new NpgsqlParameter { Value = parameter ?? DBNull.Value });
    }
}
