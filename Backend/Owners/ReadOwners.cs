using Npgsql;
using Platform.Backend.Database;
using Platform.ServiceDefaults.Paging;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.Backend.Owners;

/// <summary>Reads rows of <c>owners</c>.</summary>
internal static class OwnerRows
{
    public const string Columns =
        """
        o.id, o.name, o.created_at, (select count(*) from shops s where s.owner_id = o.id)::int,
        (select count(*) from api_keys k where k.owner_id = o.id and k.revoked_at is null and (k.expires_at is null or k.expires_at > now()))::int, o.issuer
        """;

    public static Owner Read(NpgsqlDataReader row) =>
        new(row.GetGuid(0), row.GetString(1), row.GetFieldValue<DateTimeOffset>(2), row.GetInt32(3), row.GetInt32(4), row.GetNullableString(5));
}

/// <summary>Finds one owner.</summary>
internal sealed class FindOwner(PostgresDatabase database)
{
    /// <summary>The owner, or null.</summary>
    public Task<Owner?> ExecuteAsync(Guid id, CancellationToken cancellationToken) =>
        database.FindAsync($"select {OwnerRows.Columns} from owners o where o.id = $1", [id], OwnerRows.Read, cancellationToken);
}

/// <summary>Lists owners, newest first.</summary>
internal sealed class ListOwners(PostgresDatabase database)
{
    /// <summary>Up to <paramref name="limit"/> owners older than the one with the id <paramref name="after"/>, or the newest ones.</summary>
    public async Task<Page<Owner>> ExecuteAsync(Guid? after, int limit, CancellationToken cancellationToken)
    {
        var owners = await database.ListAsync(
            $"select {OwnerRows.Columns} from owners o where $1::uuid is null or o.id < $1 order by o.id desc limit $2", [after, limit + 1], OwnerRows.Read, cancellationToken);
        return Page.Of(owners, limit, owner => owner.Id);
    }
}
