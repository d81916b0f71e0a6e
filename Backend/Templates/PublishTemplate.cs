using System.Net;
using System.Net.Http.Headers;
using System.Text.Json;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Mvc;
using Platform.ServiceDefaults;
using Platform.ServiceDefaults.Communication;

namespace Platform.Backend.Templates;

/// <summary>Streams a bundle to the registry, whose publishing endpoint is internal.</summary>
internal sealed class PublishTemplate(TemplateRegistryClient registry, TemplateCatalog catalog, Fallbacks fallbacks)
{
    public static readonly Fallback Fallback = new("template-registry", "publishing a template", FallbackKind.FailClosed);

    /// <summary>Largest size of a bundle in bytes.</summary>
    public const int MaxBundleSize = 50 * 1024 * 1024;

    /// <summary>The registry's response; its 4xx problems are passed on unchanged.</summary>
    /// <exception cref="DependencyUnavailableException">The registry is unavailable.</exception>
    /// <exception cref="BadHttpRequestException">The bundle is larger than <see cref="MaxBundleSize"/>, or the client disconnected.</exception>
    public async Task<Results<Created<TemplateVersion>, Ok<TemplateVersion>, ProblemHttpResult>> ExecuteAsync(
        string name, string version, Stream bundle, string? contentType, long? length, CancellationToken cancellationToken)
    {
        using var content = new StreamContent(bundle);
        content.Headers.ContentType = MediaTypeHeaderValue.TryParse(contentType, out var parsed) ? parsed : null;
        content.Headers.ContentLength = length;
        using var response = await SendAsync(name, version, content, cancellationToken);
        switch (response.StatusCode)
        {
            case HttpStatusCode.Created:
                catalog.Expire();
                return TypedResults.Created(
                    $"/api/templates/{Uri.EscapeDataString(name)}/versions/{Uri.EscapeDataString(version)}", await ReadAsync(response, cancellationToken));
            case HttpStatusCode.OK:
                return TypedResults.Ok(await ReadAsync(response, cancellationToken));
            case HttpStatusCode.BadRequest or HttpStatusCode.NotFound or HttpStatusCode.Conflict or HttpStatusCode.Gone
                or HttpStatusCode.RequestEntityTooLarge or HttpStatusCode.UnsupportedMediaType or HttpStatusCode.UnprocessableEntity:
                return TypedResults.Problem(await response.Content.ReadFromJsonAsync<ProblemDetails>(JsonSerializerOptions.Web, cancellationToken)
                    ?? new ProblemDetails { Status = (int)response.StatusCode });
            default:
                fallbacks.Use(Fallback);
                throw new DependencyUnavailableException(
                    "template-registry", new HttpRequestException($"It answered {(int)response.StatusCode}.", null, response.StatusCode), response.Headers.RetryAfter?.Delta);
        }
    }

    private async Task<HttpResponseMessage> SendAsync(string name, string version, HttpContent content, CancellationToken cancellationToken)
    {
        try
        {
            return await registry.PublishAsync(name, version, content, cancellationToken);
        }
        catch (Exception exception) when (!cancellationToken.IsCancellationRequested)
        {
            // The body is read from the client while it is sent, so the cause may be the client's request instead of the registry.
            for (var cause = exception; cause is not null; cause = cause.InnerException)
            {
                if (cause is BadHttpRequestException)
                    throw new BadHttpRequestException(cause.Message, ((BadHttpRequestException)cause).StatusCode, exception);
            }

            fallbacks.Use(Fallback);
            throw new DependencyUnavailableException("template-registry", exception);
        }
    }

    private static async Task<TemplateVersion> ReadAsync(HttpResponseMessage response, CancellationToken cancellationToken) =>
        await response.Content.ReadFromJsonAsync<TemplateVersion>(PlatformJson.Tolerant, cancellationToken)
        ?? throw new DependencyUnavailableException("template-registry", new JsonException("It answered null."));
}
