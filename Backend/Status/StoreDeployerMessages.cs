using Platform.ServiceDefaults;
using Platform.ServiceDefaults.Paging;
using Platform.ServiceDefaults.Postgres.Messaging;

namespace Platform.Backend.Status;

/// <summary>What StoreDeployer has yet to send, and the decisions on what was refused.</summary>
internal sealed class StoreDeployerMessages(HttpClient http)
{
    public const string Service = "store-deployer";

    /// <exception cref="HttpRequestException">StoreDeployer does not answer, or not with success.</exception>
    public async Task<IReadOnlyList<Backlog>> ListBacklogAsync(CancellationToken cancellationToken) =>
        await GetAsync<IReadOnlyList<Backlog>>("backlog", cancellationToken);

    /// <exception cref="HttpRequestException">StoreDeployer does not answer, or not with success.</exception>
    public async Task<IReadOnlyList<DeadLetter>> ListDeadLettersAsync(int limit, CancellationToken cancellationToken) =>
        (await GetAsync<Page<DeadLetter>>($"dead-letters?limit={limit}", cancellationToken)).Items;

    /// <summary>Sends the dead letter again, or all of a type, or all. A dead letter that is none any more is no failure.</summary>
    /// <exception cref="HttpRequestException">StoreDeployer does not answer, or not with success.</exception>
    public Task RedriveAsync(Guid? id, string? type, CancellationToken cancellationToken) =>
        PostAsync(id is null ? $"dead-letters/redrive{(type is null ? "" : $"?type={Uri.EscapeDataString(type)}")}" : $"dead-letters/{id}/redrive", cancellationToken);

    /// <summary>Gives a dead letter up; one that is none any more is no failure.</summary>
    /// <exception cref="HttpRequestException">StoreDeployer does not answer, or not with success.</exception>
    public Task DiscardAsync(Guid id, CancellationToken cancellationToken) => PostAsync($"dead-letters/{id}/discard", cancellationToken);

    private async Task<T> GetAsync<T>(string path, CancellationToken cancellationToken) where T : class
    {
        using var response = await http.GetAsync(new Uri(path, UriKind.Relative), cancellationToken);
        response.EnsureSuccessStatusCode();
        return await response.Content.ReadFromJsonAsync<T>(PlatformJson.Tolerant, cancellationToken) ?? throw new HttpRequestException($"StoreDeployer answered {path} with null.");
    }

    private async Task PostAsync(string path, CancellationToken cancellationToken)
    {
        using var response = await http.PostAsync(new Uri(path, UriKind.Relative), null, cancellationToken);
        if (response.StatusCode != System.Net.HttpStatusCode.NotFound)
            response.EnsureSuccessStatusCode();
    }
}
