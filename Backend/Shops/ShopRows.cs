using System.Text.Json;
using Npgsql;
using Platform.Backend.Database;
using Platform.Backend.Owners;

namespace Platform.Backend.Shops;

/// <summary>Reads rows of <c>shops</c>.</summary>
internal static class ShopRows
{
    public const string Columns =
        """
        id, slug, name, template_name, template_version, template_digest, settings, currency, version, changes, status, url, release, created_at, updated_at, owner_id, locale,
        (select count(*)::integer from products where shop_id = shops.id)
        """;

    /// <summary>Reads the shop if it belongs to the caller, and locks its row until the transaction ends, which serialises edits, deployments and the deletion of a shop.</summary>
    public static async Task<ShopDetails?> LockShopAsync(this NpgsqlTransaction transaction, Guid id, Caller caller, CancellationToken cancellationToken)
    {
        await using var command = transaction.Command(
            $"select {Columns} from shops where id = $1 and ($2::uuid is null or owner_id = $2) for no key update", id, caller.OnlyOf);
        return await command.FindAsync(Read, cancellationToken);
    }

    public static ShopDetails Read(NpgsqlDataReader row) => new()
    {
        Id = row.GetGuid(0),
        Slug = row.GetString(1),
        Name = row.GetString(2),
        Template = new(row.GetString(3), row.GetString(4)),
        TemplateDigest = row.GetString(5),
        Settings = row.GetJson<Dictionary<string, JsonElement>>(6),
        Currency = row.GetNullableString(7),
        Version = row.GetInt32(8),
        Changes = row.GetInt32(9),
        Status = row.GetString(10),
        Url = row.GetNullableString(11),
        Release = row.GetNullable<Guid>(12),
        CreatedAt = row.GetFieldValue<DateTimeOffset>(13),
        UpdatedAt = row.GetFieldValue<DateTimeOffset>(14),
        OwnerId = row.GetGuid(15),
        Locale = row.GetString(16),
        ProductCount = row.GetInt32(17),
    };
}
