using System.Buffers.Text;
using System.Diagnostics.CodeAnalysis;
using System.Text.Json;

namespace Platform.ServiceDefaults.Paging;

/// <summary>Encodes the position after which a page starts, opaque to clients: base64url of the last row's sort key as JSON.</summary>
public static class Cursor
{
    private const int MaxLength = 1_000;

    /// <summary>Encodes the sort key of a page's last row.</summary>
    public static string Encode<TKey>(TKey key) => Base64Url.EncodeToString(JsonSerializer.SerializeToUtf8Bytes(key, JsonSerializerOptions.Web));

    /// <summary>Decodes a cursor. False when it isn't a valid <typeparamref name="TKey"/>.</summary>
    public static bool TryDecode<TKey>(string cursor, [NotNullWhen(true)] out TKey? key)
    {
        key = default;
        if (cursor.Length > MaxLength || !Base64Url.IsValid(cursor))
        {
            return false;
        }

        try
        {
            key = JsonSerializer.Deserialize<TKey>(Base64Url.DecodeFromChars(cursor), JsonSerializerOptions.Web);
            return key is not null;
        }
        catch (JsonException)
        {
            return false;
        }
    }
}
