using System.Globalization;
using System.Reflection;
using Microsoft.AspNetCore.Http.Metadata;
using Microsoft.Net.Http.Headers;

namespace Platform.Backend.Shops;

/// <summary>A result with an <c>ETag</c>.</summary>
internal sealed class Tagged<TResult>(TResult result, EntityTagHeaderValue tag) : IResult, IEndpointMetadataProvider where TResult : IResult, IEndpointMetadataProvider
{
    /// <summary>The result without the tag.</summary>
    public TResult Result => result;

    public Task ExecuteAsync(HttpContext httpContext)
    {
        httpContext.Response.Headers.ETag = tag.ToString();
        return result.ExecuteAsync(httpContext);
    }

    public static void PopulateMetadata(MethodInfo method, EndpointBuilder builder) => TResult.PopulateMetadata(method, builder);
}

/// <summary>
/// A shop's entity tag, <c>"edits.changes"</c>. <c>If-None-Match</c> compares the whole tag, so that clients also notice when a shop goes live. <c>If-Match</c> compares
/// only the edits, so that going live doesn't invalidate an edit in progress.
/// </summary>
internal static class ShopTag
{
    public static EntityTagHeaderValue Of(ShopDetails shop) =>
        new(string.Create(CultureInfo.InvariantCulture, $"\"{shop.Version}.{shop.Changes}\""));

    /// <summary>Whether the client has the current state of the shop.</summary>
    public static bool IsCurrent(IList<EntityTagHeaderValue> ifNoneMatch, ShopDetails shop) =>
        ifNoneMatch.Any(tag => tag.Equals(EntityTagHeaderValue.Any) || tag.Compare(Of(shop), useStrongComparison: false));

    /// <summary>Whether the client has seen the last edit.</summary>
    public static bool Matches(IList<EntityTagHeaderValue> ifMatch, ShopDetails shop) =>
        ifMatch.Any(tag => tag.Equals(EntityTagHeaderValue.Any) || (!tag.IsWeak && EditsOf(tag) == shop.Version));

    private static int? EditsOf(EntityTagHeaderValue tag)
    {
        var text = tag.Tag.AsSpan().Trim('"');
        var dot = text.IndexOf('.');
        return dot > 0 && int.TryParse(text[..dot], NumberStyles.None, CultureInfo.InvariantCulture, out var edits) ? edits : null;
    }
}
