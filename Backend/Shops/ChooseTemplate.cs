using System.Text.Json;
using Platform.Backend.Templates;
using Platform.ServiceDefaults.Communication;
using Platform.ServiceDefaults.Problems;

namespace Platform.Backend.Shops;

/// <summary>Finds the version of the template that a shop chose, and checks the shop's settings against its parameters.</summary>
internal sealed class ChooseTemplate(TemplateCatalog catalog)
{
    /// <summary>
    /// The version, or null after adding to <paramref name="errors"/>. A withdrawn version is refused unless it is the shop's <paramref name="current"/> one, so that
    /// merchants can still edit such a shop.
    /// </summary>
    /// <exception cref="DependencyUnavailableException">The registry is unavailable, the template is not cached, and there are no other errors.</exception>
    public async Task<TemplateVersion?> ExecuteAsync(ValidationErrors errors, ShopInput shop, ShopTemplate? current, CancellationToken cancellationToken)
    {
        try
        {
            var version = await FindAsync(errors, shop.Template, current, cancellationToken);
            if (version is not null)
                SettingsRules.Check(errors, version.Parameters, shop.Settings);
            return version;
        }
        catch (DependencyUnavailableException) when (errors.Any)
        {
            // Report the errors found so far instead of a 503: the client has to correct them in any case.
            return null;
        }
    }

    private async Task<TemplateVersion?> FindAsync(ValidationErrors errors, ChosenTemplate chosen, ShopTemplate? current, CancellationToken cancellationToken)
    {
        var wanted = chosen.Version ?? (await catalog.FindAsync(chosen.Name, cancellationToken))?.Value.LatestVersion;
        var version = wanted is null ? null : (await catalog.FindVersionAsync(chosen.Name, wanted, cancellationToken))?.Value;
        if (version is not null && (version.Status != "yanked" || current == new ShopTemplate(version.Name, version.Version)))
            return version;

        if (version is not null)
            errors.Add("template.version", "was withdrawn; choose another");
        else if (await catalog.FindAsync(chosen.Name, cancellationToken) is null)
            errors.Add("template.name", "is not the name of a template");
        else if (wanted is null)
            errors.Add("template.name", "is a template without a current version; choose one as template.version");
        else
            errors.Add("template.version", "is not a version of the template");
        return null;
    }
}
