using System.Text.Json;
using Npgsql;
using NpgsqlTypes;
using Platform.ServiceDefaults;

namespace Platform.Backend.Database;

/// <summary>Short forms for commands with positional parameters.</summary>
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
