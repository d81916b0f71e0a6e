using Platform.ServiceDefaults;
using Platform.ServiceDefaults.Paging;
using Platform.ServiceDefaults.Postgres.Messaging;

namespace Platform.Backend.Status;

/// <summary>StoreDeployer's outbox backlog and dead letters.</summary>
internal sealed class StoreDeployerMessages(HttpClient http)
{
    /// <exception cref="HttpRequestException">StoreDeployer does not answer, or not with success.</exception>
    public async Task<IReadOnlyList<Backlog>> ListBacklogAsync(CancellationToken cancellationToken) =>
        await GetAsync<IReadOnlyList<Backlog>>("backlog", cancellationToken);

    /// <summary>Up to <paramref name="limit"/> dead letters, oldest first; only those of <paramref name="shops"/> unless that is null.</summary>
    /// <exception cref="HttpRequestException">StoreDeployer does not answer, or not with success.</exception>
    public async Task<IReadOnlyList<DeadLetter>> ListDeadLettersAsync(int limit, IReadOnlySet<Guid>? shops, CancellationToken cancellationToken)
    {
        if (shops is null)
            return (await GetAsync<Page<DeadLetter>>($"dead-letters?limit={limit}", cancellationToken)).Items;

        // StoreDeployer doesn't know owners, so the caller's shops are filtered here.
        var found = new List<DeadLetter>();
        string? cursor = null;
        do
        {
            var page = await GetAsync<Page<DeadLetter>>(
                $"dead-letters?limit={PageQuery.MaxLimit}{(cursor is null ? "" : $"&cursor={Uri.EscapeDataString(cursor)}")}", cancellationToken);
            found.AddRange(page.Items.Where(letter => shops.Contains(letter.PartitionKey)));
            cursor = page.NextCursor;
        }
        while (cursor is not null && found.Count < limit);

        return [.. found.Take(limit)];
    }

    /// <summary>
    /// Redrives one dead letter, all of a type, or all; only those of <paramref name="shops"/> unless that is null. For an administrator (null) it is not an error if the
    /// dead letter does not exist any more.
    /// </summary>
    /// <returns>False if there is no such dead letter of one of the shops.</returns>
    /// <exception cref="HttpRequestException">StoreDeployer does not answer, or not with success.</exception>
    public async Task<bool> RedriveAsync(Guid? id, string? type, IReadOnlySet<Guid>? shops, CancellationToken cancellationToken)
    {
        if (shops is null)
        {
            await PostAsync(id is null ? $"dead-letters/redrive{(type is null ? "" : $"?type={Uri.EscapeDataString(type)}")}" : $"dead-letters/{id}/redrive", cancellationToken);
            return true;
        }

        var own = (await ListDeadLettersAsync(int.MaxValue, shops, cancellationToken))
            .Where(letter => (id is null || letter.Id == id) && (type is null || letter.Type == type)).ToList();
        foreach (var letter in own)
            await PostAsync($"dead-letters/{letter.Id}/redrive", cancellationToken);
        return id is null || own.Count > 0;
    }

    /// <summary>Discards a dead letter; only one of <paramref name="shops"/> unless that is null. See <see cref="RedriveAsync"/> for one that does not exist any more.</summary>
    /// <returns>False if there is no such dead letter of one of the shops.</returns>
    /// <exception cref="HttpRequestException">StoreDeployer does not answer, or not with success.</exception>
    public async Task<bool> DiscardAsync(Guid id, IReadOnlySet<Guid>? shops, CancellationToken cancellationToken)
    {
        if (shops is not null && !(await ListDeadLettersAsync(int.MaxValue, shops, cancellationToken)).Any(letter => letter.Id == id))
            return false;
        await PostAsync($"dead-letters/{id}/discard", cancellationToken);
        return true;
    }

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
