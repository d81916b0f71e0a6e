using System.Net;
using Platform.ServiceDefaults;
using Platform.ServiceDefaults.Paging;

namespace Platform.Backend.Templates;

/// <summary>Client of TemplateRegistry.</summary>
internal sealed class TemplateRegistryClient(HttpClient http)
{
    private const int PageSize = 100;
    private const int MaxPages = 100;

    /// <summary>All available templates, by name.</summary>
    /// <exception cref="HttpRequestException">The registry does not answer, or not with success.</exception>
    public async Task<IReadOnlyList<Template>> ListAsync(CancellationToken cancellationToken)
    {
        var templates = new List<Template>();
        string? cursor = null;
        for (var page = 0; page < MaxPages; page++)
        {
            var query = $"templates?limit={PageSize}" + (cursor is null ? "" : $"&cursor={Uri.EscapeDataString(cursor)}");
            var answer = await GetAsync<Page<Template>>(query, cancellationToken)
                ?? throw new HttpRequestException("The template registry has no list of templates.", null, HttpStatusCode.NotFound);
            templates.AddRange(answer.Items);
            cursor = answer.NextCursor;
            if (cursor is null)
                break;
        }

        return templates;
    }

    /// <summary>One template, or null if there is none with this name.</summary>
    /// <exception cref="HttpRequestException">The registry does not answer, or not with success.</exception>
    public Task<Template?> FindAsync(string name, CancellationToken cancellationToken) =>
        GetAsync<Template>($"templates/{Uri.EscapeDataString(name)}", cancellationToken);

    /// <summary>One version of a template, also a withdrawn one, or null if there is none.</summary>
    /// <exception cref="HttpRequestException">The registry does not answer, or not with success.</exception>
    public Task<TemplateVersion?> FindVersionAsync(string name, string version, CancellationToken cancellationToken) =>
        GetAsync<TemplateVersion>(VersionPath(name, version), cancellationToken);

    /// <summary>Publishes a bundle. Returns the response of any status as soon as its headers have arrived.</summary>
    public async Task<HttpResponseMessage> PublishAsync(string name, string version, HttpContent bundle, CancellationToken cancellationToken)
    {
        using var request = new HttpRequestMessage(HttpMethod.Put, VersionPath(name, version)) { Content = bundle };
        return await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellationToken);
    }

    /// <summary>Reports how many shops use a template. A 404 is ignored: the template may have been removed.</summary>
    /// <exception cref="HttpRequestException">The registry does not answer, or not with success.</exception>
    public async Task ReportUsageAsync(string name, int shops, CancellationToken cancellationToken)
    {
        using var response = await http.PutAsJsonAsync(new Uri($"templates/{Uri.EscapeDataString(name)}/usage", UriKind.Relative), new { shops }, cancellationToken);
        if (response.StatusCode != HttpStatusCode.NotFound)
            response.EnsureSuccessStatusCode();
    }

    private static string VersionPath(string name, string version) =>
        $"templates/{Uri.EscapeDataString(name)}/versions/{Uri.EscapeDataString(version)}";

    private async Task<T?> GetAsync<T>(string path, CancellationToken cancellationToken) where T : class
    {
        using var response = await http.GetAsync(new Uri(path, UriKind.Relative), cancellationToken);
        if (response.StatusCode == HttpStatusCode.NotFound)
            return null;
        response.EnsureSuccessStatusCode();

        // Unknown fields are ignored, because the registry may be a newer version.
        return await response.Content.ReadFromJsonAsync<T>(PlatformJson.Tolerant, cancellationToken)
            ?? throw new HttpRequestException($"The template registry answered {path} with null.");
    }
}
