using System.Buffers.Text;
using System.Diagnostics.CodeAnalysis;
using System.Text.Json;

namespace Platform.ServiceDefaults.Paging;

/// <summary>The position after which a page starts, opaque to clients: base64url of the JSON of the last row's sort key.</summary>
public static class Cursor
{
    private const int MaxLength = 1_000;

    /// <summary>Makes a cursor from the sort key of a page's last row.</summary>
    public static string Encode<TKey>(TKey key) => Base64Url.EncodeToString(JsonSerializer.SerializeToUtf8Bytes(key, JsonSerializerOptions.Web));

    /// <summary>Reads a cursor back; false when it is not one that <see cref="Encode{TKey}"/> made for this kind of key.</summary>
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
