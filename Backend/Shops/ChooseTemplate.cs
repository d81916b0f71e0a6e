using System.Text.Json;
using Platform.Backend.Templates;
using Platform.ServiceDefaults.Communication;
using Platform.ServiceDefaults.Problems;

namespace Platform.Backend.Shops;

/// <summary>Finds the version of a template that a shop is to use, and checks the shop's settings against its parameters.</summary>
internal sealed class ChooseTemplate(TemplateCatalog catalog)
{
    /// <summary>
    /// The version, or null after saying what is wrong in <paramref name="errors"/>. A withdrawn version is refused, unless it is the shop's
    /// <paramref name="current"/> one: a merchant can go on editing such a shop.
    /// </summary>
    /// <exception cref="DependencyUnavailableException">The registry cannot be asked for a template that was never seen, and nothing else is wrong.</exception>
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
            // better to say what is wrong in any case than only that something else cannot be checked now
            return null;
        }
    }

    private async Task<TemplateVersion?> FindAsync(ValidationErrors errors, ChosenTemplate chosen, ShopTemplate? current, CancellationToken cancellationToken)
    {
        var wanted = chosen.Version;
        if (wanted is null)
        {
            if (await catalog.FindAsync(chosen.Name, cancellationToken) is not { } template)
            {
                errors.Add("template.name", "is not the name of a template");
                return null;
            }

            wanted = template.Value.LatestVersion;
            if (wanted is null)
            {
                errors.Add("template.name", "is a template without a current version; choose one as template.version");
                return null;
            }
        }

        var version = (await catalog.FindVersionAsync(chosen.Name, wanted, cancellationToken))?.Value;
        if (version is null)
        {
            if (await catalog.FindAsync(chosen.Name, cancellationToken) is null)
                errors.Add("template.name", "is not the name of a template");
            else
                errors.Add("template.version", "is not a version of the template");
            return null;
        }

        if (version.Status == "yanked" && current != new ShopTemplate(version.Name, version.Version))
        {
            errors.Add("template.version", "was withdrawn; choose another");
            return null;
        }

        return version;
    }
}
